import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalkmark.curate import attributes
from chalkmark.curate.attributes import FIELDS, NAMES, REQUEST, RESPONSE
from chalkmark.tables.spec import TEXT_MAP

UNSPECIFIED, INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = range(6)
KNOWN_NAMES = [name for names in NAMES.values() for name in names]
ANY_NAME = st.one_of(st.sampled_from(KNOWN_NAMES), st.sampled_from(KNOWN_NAMES).map(lambda n: n[:-1] + "x"), st.text(max_size=40))


def found(*spans: dict[str, str]) -> attributes.Found:
    return attributes.find(pa.array([list(s.items()) for s in spans], TEXT_MAP))


def peer(kind: int, **said: str) -> str | None:
    spans = found({key.replace("__", "."): value for key, value in said.items()})
    return attributes.peers(spans, np.array([kind], np.int8)).to_pylist()[0]  # type: ignore[no-any-return]


def weight(trace_state: str | None = None, /, **said: str) -> float:
    spans = found({key.replace("__", "."): value for key, value in said.items()})
    return float(attributes.weights(spans, pa.array([trace_state], pa.string()))[0])


@settings(deadline=None)  # the first example compiles
@given(st.lists(st.lists(st.tuples(ANY_NAME, st.just("1")), max_size=6), max_size=12), st.integers(0, 3))
def test_finds_what_a_plain_search_finds(spans: list[list[tuple[str, str]]], skipped: int) -> None:
    array = pa.array(spans, TEXT_MAP).slice(min(skipped, len(spans)))
    result = attributes.find(array)
    keys = result.keys.to_pylist()
    for row, span in enumerate(array.to_pylist()):
        for field in range(FIELDS):
            best = min((NAMES[field].index(key) for key, _ in span if key in NAMES[field]), default=None)
            if best is None:
                assert result.item[field, row] == -1
            else:
                assert result.rank[field, row] == best
                assert keys[result.item[field, row]] == NAMES[field][best]


@pytest.mark.parametrize("name", NAMES[REQUEST])
def test_every_name_of_a_request_size(name: str) -> None:
    assert attributes.sizes(found({name: "512"}), REQUEST).to_pylist() == [512]
    assert attributes.sizes(found({name: "512"}), RESPONSE).to_pylist() == [None]


@pytest.mark.parametrize("name", NAMES[RESPONSE])
def test_every_name_of_a_response_size(name: str) -> None:
    assert attributes.sizes(found({name: "0"}), RESPONSE).to_pylist() == [0]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("999999999999999999", 10**18 - 1),
        ("512.0", 512),
        ('["512"]', 512),
        ("9" * 19, None),
        ("-1", None),
        ("", None),
        (".0", None),
        ('[""]', None),
        ('["1","2"]', None),
        ("0.25", None),
        ("1e3", None),
        ("12 kB", None),
        ("null", None),
        ("NaN", None),
    ],
)
def test_what_is_a_size_and_what_is_none(text: str, size: int | None) -> None:
    assert attributes.sizes(found({}, {"http.request.body.size": text}), REQUEST).to_pylist() == [None, size]


def test_the_present_name_wins_over_the_older_one() -> None:
    spans = found({"http.request_content_length": "1", "http.request.body.size": "2"})
    assert attributes.sizes(spans, REQUEST).to_pylist() == [2]


def test_a_named_service_is_the_peer_of_whoever_calls() -> None:
    assert [peer(kind, peer__service="cart") for kind in range(6)] == ["cart", "cart", None, "cart", "cart", None]
    assert peer(CLIENT, peer__service="old", service__peer__name="new") == "new"


def test_an_address_that_is_a_name_is_the_peer_of_clients_and_producers() -> None:
    said = {"server__address": "cart.prod.svc"}
    assert [peer(kind, **said) for kind in range(6)] == [None, None, None, "cart.prod.svc", "cart.prod.svc", None]
    assert peer(CLIENT, net__peer__name="cart") == "cart"


@pytest.mark.parametrize("address", ["10.0.0.1", "::1", "fe80::1%2", "[2001:db8::7]", "localhost", "", " "])
def test_an_address_that_is_no_name_is_no_peer(address: str) -> None:
    assert peer(CLIENT, server__address=address) is None
    assert peer(CLIENT, server__address=address, db__system="redis") == "redis"


def test_a_data_store_without_a_name_is_its_kind() -> None:
    assert peer(CLIENT, db__system="mysql", db__system__name="mariadb") == "mariadb"
    assert peer(PRODUCER, messaging__system="kafka") == "kafka"
    assert peer(CLIENT, server__address="orders-db", db__system="mysql") == "orders-db"
    assert peer(SERVER, db__system="mysql") is None
    assert peer(INTERNAL, db__system="mysql") is None


def test_a_service_named_by_an_address_was_named_on_purpose() -> None:
    assert peer(CLIENT, peer__service="10.0.0.1") == "10.0.0.1"


@pytest.mark.parametrize(
    ("trace_state", "expected"),
    [
        (None, 1.0),
        ("", 1.0),
        ("ot=th:0", 1.0),
        ("ot=th:8", 2.0),  # half are rejected
        ("ot=th:c", 4.0),
        ("ot=th:ff", 256.0),
        ("ot=th:ffffffffffffff", 2.0**56),
        ("ot=rv:1234567890abcd;th:8", 2.0),
        ("congo=t61rcWkgMzE,ot=th:8", 2.0),
        ("congo=t61rcWkgMzE , ot=th:c ;rv:00", 4.0),
        ("ot=p:3;r:5", 8.0),
        ("ot=p:62", 2.0**62),
        ("ot=p:3;th:8", 2.0),
        # What is not valid says nothing.
        ("ot=th:", 1.0),
        ("ot=th:fffffffffffffff", 1.0),
        ("ot=th:XY", 1.0),
        ("ot=th:8F", 1.0),
        ("ot=p:63", 1.0),
        ("ot=p:-1", 1.0),
        ("ot=p:1x", 1.0),
        ("not=th:8", 1.0),
        ("x=ot=th:8", 1.0),
        ("ot", 1.0),
        ("ot=", 1.0),
        (",,,", 1.0),
    ],
)
def test_weight_by_the_trace_state(trace_state: str | None, expected: float) -> None:
    assert weight(trace_state) == expected


def test_weight_by_attributes() -> None:
    assert weight(sampling__probability="0.25") == 4.0
    assert weight(SampleRate="20") == 20.0
    assert weight(sampler__type="probabilistic", sampler__param="0.001") == 1000.0
    assert weight(sampler__type="const", sampler__param="0.5") == 1.0
    assert weight(sampler__param="0.5") == 1.0
    assert weight("ot=th:8", sampling__probability="0.25") == 2.0
    assert weight("ot=th:?", sampling__probability="0.25") == 4.0


@pytest.mark.parametrize("text", ["0", "-0.5", "2", "NaN", "Infinity", "-Infinity", "often", "", "true", "null"])
def test_a_probability_that_is_none_is_ignored(text: str) -> None:
    assert weight(sampling__probability=text) == 1.0


@pytest.mark.parametrize("text", ["0", "0.5", "-3", "NaN", "Infinity", "1e999", "x"])
def test_a_sample_rate_that_is_none_is_ignored(text: str) -> None:
    assert weight(SampleRate=text) == 1.0


@settings(deadline=None)  # the first example compiles
@given(st.lists(st.one_of(st.none(), st.text("ot=th:pr8fx;, 0", max_size=24)), min_size=1, max_size=20))
def test_any_trace_state_gives_a_weight_of_at_least_one(states: list[str | None]) -> None:
    spans = found(*[{} for _ in states])
    assert (attributes.weights(spans, pa.array(states, pa.string())) >= 1).all()
