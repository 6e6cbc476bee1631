import orjson
import pyarrow as pa
import pytest

from chalkmark.curate.senders import Sender, per_sender, protocol, read_sender


def sender(*, scope: dict[str, object] | None = None, **resource: object) -> Sender:
    document = {"resource": {key.replace("__", "."): value for key, value in resource.items()}}
    return read_sender(orjson.dumps(document | ({"scope": scope} if scope else {})).decode())


@pytest.mark.parametrize("name", ["", "  ", None, []])
def test_an_empty_service_name_is_unknown_service(name: object) -> None:
    found = sender(service__name=name)
    assert (found.service, found.service_missing) == ("unknown_service", True)


def test_no_service_name_is_unknown_service() -> None:
    assert (sender().service, sender().service_missing) == ("unknown_service", True)


def test_the_stand_in_of_an_sdk_counts_as_missing_and_is_kept() -> None:
    found = sender(service__name="unknown_service:java")
    assert (found.service, found.service_missing) == ("unknown_service:java", True)


def test_a_service_name_that_is_no_text_is_its_json() -> None:
    assert (sender(service__name=42).service, sender(service__name=42).service_missing) == ("42", False)


HOSTS = {
    "host.name": "h",
    "k8s.node.name": "node",
    "host.id": "id",
    "k8s.pod.name": "pod",
    "host.ip": ["10.0.0.1", "::1"],
    "net.host.ip": "10.0.0.2",
}


def test_host_is_the_first_attribute_that_tells() -> None:
    resource = dict(HOSTS)
    seen = []
    while resource:
        seen.append(read_sender(orjson.dumps({"resource": resource}).decode()).host)
        del resource[next(iter(resource))]
    assert seen == ["h", "node", "id", "pod", "10.0.0.1", "10.0.0.2"]
    assert sender(service__name="a").host is None


def test_instance_is_its_id_else_pod_else_container_else_process() -> None:
    assert sender(service__instance__id="i", k8s__pod__name="p").instance == "i"
    assert sender(k8s__pod__name="p", container__id="c").instance == "p"
    assert sender(container__id="c", host__name="h", process__pid=7).instance == "c"
    assert sender(host__name="h", process__pid=7).instance == "h:7"
    assert sender(process__pid=7).instance is None


def test_zone_is_the_availability_zone_else_the_region() -> None:
    assert sender(cloud__availability_zone="eu-1a", cloud__region="eu-1").zone == "eu-1a"
    assert sender(cloud__region="eu-1").zone == "eu-1"
    assert sender().zone is None


def test_sdk_is_name_language_version_as_far_as_said() -> None:
    text = {"telemetry.sdk.name": "opentelemetry", "telemetry.sdk.language": "go", "telemetry.sdk.version": "1.2"}
    assert read_sender(orjson.dumps({"resource": text}).decode()).sdk == "opentelemetry/go/1.2"
    del text["telemetry.sdk.language"]
    assert read_sender(orjson.dumps({"resource": text}).decode()).sdk == "opentelemetry/1.2"
    assert sender().sdk == ""


def test_a_source_names_its_protocol() -> None:
    sources = ("otlp-grpc", "otlp-http", "zipkin-http", "file:jaeger", "file:otlp-json")
    assert [protocol(s) for s in sources] == ["otlp", "otlp", "zipkin", "jaeger", "otlp"]


def test_the_scope_is_told() -> None:
    found = sender(scope={"name": "lib", "version": "2"})
    assert (found.scope_name, found.scope_version) == ("lib", "2")
    assert (sender().scope_name, sender().scope_version) == ("", "")


def test_rows_get_what_their_sender_says() -> None:
    texts = ['{"resource":{"host.name":"h","zone":"z"}}', '{"resource":{}}', '{"resource":{"host.name":"h"}}']
    rows = pa.DictionaryArray.from_arrays(pa.array([2, 0, 1, 0], pa.int32()), pa.array(texts)).slice(1)
    hosts = per_sender(rows, lambda s: s.host)
    assert hosts.to_pylist() == ["h", None, "h"]
    assert hosts.dictionary.to_pylist() == ["h"]
