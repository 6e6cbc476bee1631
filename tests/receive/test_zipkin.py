from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalkmark.errors import ChalkmarkError
from chalkmark.receive import zipkin
from chalkmark.tables.quality import Reason
from receive.json_like import HEX, JSON, TIME, UNTIMED, may_be, message
from shared import shared_data

NOW = 1_790_000_000_000_000_000
SPAN = {
    "traceId": "5b8efff798038103",
    "id": "eee19b7ec3c1b174",
    "timestamp": 1_789_999_999_000_000,
    "duration": 20_333,
    "name": "get",
}


def decode(*spans):
    received = zipkin.decode(json.dumps(spans).encode(), "zipkin-http", NOW)
    received.spans.validate(full=True)
    return received


def one(**fields):
    (row,) = decode({**SPAN, **fields}).spans.to_pylist()
    return row


def test_a_client_span():
    row = one(
        kind="CLIENT",
        parentId="6b221d5bc9e6496c",
        localEndpoint={"serviceName": "gateway", "ipv4": "172.17.0.13", "port": 8080},
        remoteEndpoint={"serviceName": "orders", "ipv6": "fe80::1", "port": 31882},
        annotations=[{"timestamp": 1_789_999_999_000_005, "value": "retry"}],
        tags={"http.method": "GET", "error": "503"},
        debug=True,
    )
    assert row["trace_id"] == bytes(8) + bytes.fromhex("5b8efff798038103")
    assert row["parent_span_id"] == bytes.fromhex("6b221d5bc9e6496c")
    assert (row["operation"], row["kind"]) == ("get", 3)
    assert (row["start_ns"], row["end_ns"]) == (1_789_999_999_000_000_000, 1_789_999_999_020_333_000)
    assert (row["status"], row["status_message"]) == (2, "503")
    assert row["sender"] == '{"resource":{"service.name":"gateway","host.ip":"172.17.0.13"}}'
    assert row["attributes"] == [
        ("http.method", "GET"),
        ("error", "503"),
        ("peer.service", "orders"),
        ("network.peer.address", "fe80::1"),
        ("network.peer.port", "31882"),
        ("network.local.port", "8080"),
        ("zipkin.debug", "true"),
    ]
    assert row["attribute_types"] == "ssssiib"
    assert row["annotations"] == [{"kind": "event", "key": "retry", "value": "{}", "at_ns": 1_789_999_999_000_005_000}]
    assert row["quality"] == []


@pytest.mark.parametrize(("kind", "number"), [("SERVER", 2), ("CLIENT", 3), ("PRODUCER", 4), ("CONSUMER", 5), (None, 0)])
def test_kinds(kind, number):
    row = one(kind=kind, localEndpoint={"serviceName": "a"})
    assert (row["kind"], row["quality"]) == (number, [])


def test_an_unknown_kind_is_noted():
    row = one(kind="LOCAL", localEndpoint={"serviceName": "a"})
    assert (row["kind"], row["quality"]) == (0, [Reason.KIND_UNKNOWN])


def test_a_shared_span_says_so_and_keeps_its_identifier():
    row = one(shared=True, kind="SERVER")
    assert row["attributes"] == [("zipkin.shared", "true")]
    assert row["span_id"] == bytes.fromhex(SPAN["id"])


def test_a_tag_is_not_overwritten_by_the_endpoint():
    row = one(tags={"peer.service": "said"}, remoteEndpoint={"serviceName": "seen"})
    assert row["attributes"] == [("peer.service", "said")]


def test_what_opentelemetry_says_of_resource_and_scope_is_no_tag():
    row = one(
        localEndpoint={"serviceName": "shipping"},
        tags={
            "service.name": "shipping",
            "service.version": "2.1",
            "service.peer.name": "carrier",
            "host.name": "app-b2",
            "cloud.availability_zone": "north-1b",
            "k8s.pod.name": "shipping-7d",
            "telemetry.sdk.language": "python",
            "process.pid": "41",
            "faas.name": "parcels",
            "faas.trigger": "http",
            "cloudevents.event_id": "7",
            "otel.scope.name": "flask",
            "otel.library.name": "older flask",
            "otel.library.version": "0.5",
            "otel.scope.version": "",
            "http.method": "GET",
        },
    )
    sender = json.loads(row["sender"])
    assert sender["resource"] == {
        "service.name": "shipping",
        "service.version": "2.1",
        "host.name": "app-b2",
        "cloud.availability_zone": "north-1b",
        "k8s.pod.name": "shipping-7d",
        "telemetry.sdk.language": "python",
        "process.pid": "41",
        "faas.name": "parcels",
    }
    assert sender["scope"] == {"name": "flask", "version": "0.5"}
    assert dict(row["attributes"]) == {
        "service.peer.name": "carrier",
        "faas.trigger": "http",
        "cloudevents.event_id": "7",
        "http.method": "GET",
    }


def test_where_tag_and_endpoint_disagree_the_endpoint_names_the_service_and_the_tag_stays():
    row = one(localEndpoint={"serviceName": "seen"}, tags={"service.name": "said", "otel.scope.name": 7})
    assert row["sender"] == '{"resource":{"service.name":"seen"}}'
    assert row["attributes"] == [("service.name", "said"), ("otel.scope.name", "7")]


def test_a_service_that_only_its_tags_name():
    row = one(tags={"service.name": "shipping"})
    assert (row["sender"], row["quality"]) == ('{"resource":{"service.name":"shipping"}}', [])


def test_a_span_without_endpoint_has_no_service():
    assert one()["quality"] == [Reason.SERVICE_MISSING]


def test_without_a_timestamp_the_annotations_say_when():
    annotations = [{"timestamp": 1_789_999_999_000_009, "value": "b"}, {"timestamp": 1_789_999_999_000_004, "value": "a"}]
    row = one(timestamp=None, duration=None, annotations=annotations)
    assert (row["start_ns"], row["end_ns"]) == (1_789_999_999_000_004_000, 1_789_999_999_000_009_000)


def test_without_any_time_the_start_is_0_and_marked():
    row = one(timestamp=None, duration=None, localEndpoint={"serviceName": "a"})
    assert (row["start_ns"], row["end_ns"], row["quality"]) == (0, 0, [Reason.TIME_IMPLAUSIBLE])


@pytest.mark.parametrize(
    ("fields", "example"),
    [
        ({"timestamp": "soon"}, "timestamp is 'soon', not a number"),
        ({"duration": True}, "duration is True, not a number"),
        ({"timestamp": 2**62}, "timestamp is 4611686018427387904, not within 64 bits"),
        ({"duration": 9_000_000_000_000_000}, "duration is 9000000000000000, not a time within 64 bits"),
        ({"tags": ["a"]}, "tags is ['a'], not an object"),
        ({"annotations": {}}, "annotations is {}, not a list"),
        ({"annotations": [1]}, "annotation is 1, not an object"),
        ({"name": 3}, "name is 3, not a text"),
        ({"kind": 3}, "kind is 3, not a text"),
        ({"localEndpoint": "cart"}, "localEndpoint is 'cart', not an object"),
        ({"remoteEndpoint": {"port": "x"}}, "remoteEndpoint.port is 'x', not a number"),
    ],
)
def test_a_broken_field_costs_its_span_and_is_named(fields, example):
    received = decode(SPAN, {**SPAN, **fields})
    assert received.spans.num_rows == 1
    assert [(r["reason"], r["spans"], r["example"]) for r in received.rejections.to_pylist()] == [
        (Reason.SPAN_UNDECODABLE, 1, example)
    ]


def test_a_single_span_is_as_good_as_a_list():
    assert zipkin.decode(json.dumps(SPAN).encode(), "zipkin-http", NOW).spans.num_rows == 1


@pytest.mark.parametrize("body", [b"7", b'"x"', b"null", b"[", b"\x0a\x02"])
def test_what_is_no_list_is_refused_whole(body):
    with pytest.raises(ChalkmarkError):
        zipkin.decode(body, "zipkin-http", NOW)


@pytest.mark.parametrize(
    "name",
    [
        "ascend",
        "envoy",
        "messaging",
        "messaging2",
        "messaging-kafka",
        "simple-db-p6",
        "skew",
        "smartthings-mobile-web-install",
        "smartthings-oauth-authorization",
        "yelp",
    ],
)
def test_recorded_traces_lose_nothing(name):
    body = shared_data(f"traces/zipkin/{name}.json").read_bytes()
    sent = json.loads(body)
    received = zipkin.decode(body, "file:zipkin", NOW)
    received.spans.validate(full=True)
    assert received.rejected == 0
    rows = received.spans.to_pylist()
    assert [r["span_id"].hex() for r in rows] == [s["id"].rjust(16, "0") for s in sent]
    for row, span in zip(rows, sent, strict=True):
        if "timestamp" in span:
            assert row["start_ns"] == span["timestamp"] * 1000
        if "duration" in span:
            assert row["end_ns"] - row["start_ns"] == span["duration"] * 1000


ENDPOINT = message(serviceName=st.text(max_size=5), ipv4=st.just("10.0.0.1"), port=st.integers(0, 70_000))
HOSTILE = may_be(
    st.lists(
        message(
            traceId=HEX,
            id=HEX,
            parentId=HEX,
            timestamp=TIME,
            duration=TIME,
            name=st.text(max_size=5),
            kind=st.sampled_from(["CLIENT", "SERVER"]),
            localEndpoint=ENDPOINT,
            remoteEndpoint=ENDPOINT,
            annotations=st.lists(message(timestamp=TIME, value=st.text(max_size=5)), max_size=2),
            tags=st.dictionaries(st.text(max_size=5), JSON, max_size=3),
            shared=st.booleans(),
        ),
        max_size=4,
    )
)


@UNTIMED
@given(HOSTILE)
def test_every_span_of_a_hostile_list_is_kept_or_counted(document):
    body = json.dumps(document).encode()
    try:
        received = zipkin.decode(body, "zipkin-http", NOW)
    except ChalkmarkError:
        assert not isinstance(document, list | dict)
        return
    received.spans.validate(full=True)
    assert received.spans.num_rows + received.rejected == (len(document) if isinstance(document, list) else 1)


@UNTIMED
@given(st.binary(max_size=200))
def test_garbage_is_refused_politely(body):
    with suppress(ChalkmarkError):
        zipkin.decode(body, "zipkin-http", NOW).spans.validate(full=True)
