from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from chalkmark.curate.fingerprint import fingerprint
from chalkmark.curate.raw import from_landing
from spans import T0, batch, span

ATTRIBUTES = {"http.route": "/a", "empty": ""}


def prints(*rows: dict[str, Any]) -> list[int]:
    raw, _ = from_landing(pa.Table.from_batches([batch(rows)]))
    return fingerprint(raw, np.arange(len(rows))).tolist()  # type: ignore[no-any-return]


def base() -> dict[str, Any]:
    return span(1, 2, 3, attributes=ATTRIBUTES) | {"status_message": "m", "trace_state": "a=b"}


def test_a_resent_span_has_the_fingerprint_of_its_first_copy() -> None:
    again = base() | {"received_ns": T0 + 5 * 10**9, "source": "zipkin-http", "quality": ["utf8_invalid"]}
    first, second = prints(base(), again)
    assert first == second


def test_fingerprints_do_not_depend_on_the_batch() -> None:
    others = [span(7, i, service=f"s{i}", operation=f"o{i}", attributes={"a": "b" * i}) for i in range(1, 9)]
    assert prints(base())[0] == prints(*others, base())[-1] == prints(base(), *others)[0]


def test_rows_are_those_asked_for() -> None:
    rows = [span(1, i) for i in range(1, 6)]
    raw, _ = from_landing(pa.Table.from_batches([batch(rows)]))
    every = fingerprint(raw, np.arange(5))
    assert fingerprint(raw, np.array([3, 0, 3])).tolist() == every[[3, 0, 3]].tolist()
    assert fingerprint(raw, np.array([], np.int64)).tolist() == []


def test_fingerprints_of_a_slice_are_those_of_its_rows() -> None:
    rows = [span(1, i, attributes={"k": str(i)}) for i in range(1, 6)]
    raw, _ = from_landing(pa.Table.from_batches([batch(rows)]))
    assert fingerprint(raw.slice(2), np.arange(3)).tolist() == fingerprint(raw, np.arange(2, 5)).tolist()


@pytest.mark.parametrize(
    "change",
    [
        {"trace_id": (9).to_bytes(16, "big")},
        {"span_id": (9).to_bytes(8, "big")},
        {"parent_span_id": None},
        {"operation": "other"},
        {"kind": 3},
        {"start_ns": T0 + 1},
        {"end_ns": T0 + 1},
        {"status": 2},
        {"status_message": "n"},
        {"status_message": ""},
        {"status_message": None},
        {"flags": 1},
        {"trace_state": "a=c"},
        {"trace_state": ""},
        {"trace_state": None},
        {"attributes": [("http.route", "/b"), ("empty", "")]},
        {"attributes": [("http.routE", "/a"), ("empty", "")]},
        {"attributes": [("empty", ""), ("http.route", "/a")]},
        {"attributes": [("http.route/a", ""), ("empty", "")]},
        {"attributes": [("http.route", "/a")]},
        {"attributes": []},
        {"attribute_types": "si"},
        {"sender": '{"resource":{"service.name":"svc","service.version":"2"}}'},
    ],
    ids=lambda change: "-".join(f"{k}={v}" for k, v in change.items())[:60],
)
def test_any_difference_in_what_was_sent_shows(change: dict[str, Any]) -> None:
    first, second = prints(base(), base() | change)
    assert first != second


def test_absent_and_empty_texts_differ() -> None:
    absent, empty = prints(base() | {"status_message": None}, base() | {"status_message": ""})
    assert absent != empty


def test_many_spans_that_differ_in_one_digit_have_many_fingerprints() -> None:
    rows = [base() | {"attributes": [("n", str(i))]} for i in range(5000)]
    assert len(set(prints(*rows))) == 5000
