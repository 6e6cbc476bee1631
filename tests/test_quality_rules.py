"""Every rule of data quality, end to end: bytes as a sender sends them, and what the tables and the report then show."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import chalkmark
from chalkmark.curate.assemble import Assembled, assemble
from chalkmark.engine.curator import Curator
from chalkmark.receive import jaeger, otlp, otlp_json, zipkin
from chalkmark.receive.intake import Decoder, Intake, UndecodableError
from chalkmark.tables.landing_store import LandingWriter
from chalkmark.tables.quality import RULES, Reason

MS = 1_000_000
SECOND_NS = 1_000_000_000
HOUR_NS = 3_600 * SECOND_NS
T0 = (time.time_ns() // (60 * SECOND_NS) - 5) * 60 * SECOND_NS
"""When the spans begin that do not say: a few minutes ago, on a full minute, so that calls of one case share a minute."""
HIGH = 0xCA5E
"""Upper half of the trace identifiers."""
SDK = {"telemetry.sdk.name": "opentelemetry", "telemetry.sdk.language": "java", "telemetry.sdk.version": "1.55.0"}
SERVER, CLIENT = 2, 3  # OTLP's numbers of span kinds

Row = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """What one sender sends at once."""

    decode: Decoder
    body: bytes
    source: str


@dataclass(frozen=True)
class Case:
    """One fault and what has to become of it. Rows are named by their operation, which is unique within a case."""

    sent: Sequence[Request]
    spans: Mapping[str, Row]
    """All spans that have to be there afterwards, with the columns that matter; `parent` is the operation of the parent."""
    marked: Sequence[str] = ()
    """The spans that carry the reason; of a reason about traces, the operation of the root."""
    sender: str = "shop"
    sdk: str = "opentelemetry/java/1.55.0"
    trace: Row = field(default_factory=dict)
    """Columns of the marked row of `traces`."""
    refused: int = 0
    message: str = ""
    """What the rejection's example says."""


def trace_id(reason: Reason, number: int = 0) -> int:
    """The lower half of the identifiers of a case's traces."""
    return 100 * (list(Reason).index(reason) + 1) + number


def other_trace(reason: Reason) -> bytes:
    """The identifier of a second trace of the case."""
    return HIGH.to_bytes(8, "big") + trace_id(reason, 1).to_bytes(8, "big")


def otel(*spans: Row, resource: dict[str, str] | None = None, **more: str) -> ExportTraceServiceRequest:
    """A request of one service, as an OpenTelemetry SDK makes it; `more` are further attributes of the resource."""
    message = ExportTraceServiceRequest()
    group = message.resource_spans.add()
    named = {"service.name": "shop"} | SDK if resource is None else resource
    for key, value in (named | {k.replace("_", "."): v for k, v in more.items()}).items():
        group.resource.attributes.add(key=key).value.string_value = value
    scope = group.scope_spans.add()
    for span in spans:
        scope.spans.add(**span)
    return message


def span(reason: Reason, number: int, name: str, parent: int = 0, /, *, at: tuple[int, int] = (0, 10 * MS), **more: Any) -> Row:
    """An OTLP span of the case's trace; `at` is start and end in ns after T0."""
    sent = {
        "trace_id": HIGH.to_bytes(8, "big") + trace_id(reason).to_bytes(8, "big"),
        "span_id": number.to_bytes(8, "big"),
        "parent_span_id": parent.to_bytes(8, "big") if parent else b"",
        "name": name,
        "kind": SERVER,
        "start_time_unix_nano": T0 + at[0],
        "end_time_unix_nano": T0 + at[1],
    }
    return sent | more


def grpc(message: ExportTraceServiceRequest) -> Request:
    return Request(otlp.decode, message.SerializeToString(), "otlp-grpc")


def one(reason: Reason, **fault: Any) -> list[Request]:
    """A request of a good span `good`, and beneath it one of which some fields are not as they should be."""
    return [grpc(otel(span(reason, 1, "good"), span(reason, 2, "odd", 1, **fault)))]


def nested(levels: int) -> dict[str, Any]:
    """An attribute value of so many lists, one in the other."""
    value: dict[str, Any] = {"string_value": "bottom"}
    for _ in range(levels):
        value = {"array_value": {"values": [value]}}
    return value


def otlp_json_spans(*spans: Row) -> Request:
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in ({"service.name": "shop"} | SDK).items()]
    group = {"resource": {"attributes": attributes}, "scopeSpans": [{"spans": spans}]}
    return Request(otlp_json.decode, json.dumps({"resourceSpans": [group]}).encode(), "otlp-http")


def json_span(reason: Reason, number: int, name: str, **more: str) -> Row:
    sent = {
        "traceId": f"{HIGH:016x}{trace_id(reason):016x}",
        "spanId": f"{number:016x}",
        "name": name,
        "startTimeUnixNano": str(T0),
        "endTimeUnixNano": str(T0 + 10 * MS),
    }
    return sent | more


def jaeger_trace(reason: Reason, *spans: tuple[str, str, str]) -> Request:
    """A trace of one process; a span is its identifier, its operation, and its parent's identifier or nothing."""
    trace = f"{HIGH:016x}{trace_id(reason):016x}"
    sent = [
        {
            "spanID": number,
            "processID": "p1",
            "operationName": name,
            "references": [{"refType": "CHILD_OF", "traceID": trace, "spanID": parent}] if parent else [],
            "startTime": T0 // 1000,
            "duration": 10_000,
        }
        for number, name, parent in spans
    ]
    document = {"data": [{"traceID": trace, "processes": {"p1": {"serviceName": "shop"}}, "spans": sent}]}
    return Request(jaeger.decode, json.dumps(document).encode(), "file:jaeger")


def zipkin_spans(*spans: Row) -> Request:
    return Request(zipkin.decode, json.dumps(spans).encode(), "zipkin-http")


def zipkin_span(reason: Reason, number: int, name: str, service: str, parent: int = 0, **more: Any) -> Row:
    sent = {
        "traceId": f"{HIGH:016x}{trace_id(reason):016x}",
        "id": f"{number:016x}",
        "name": name,
        "timestamp": T0 // 1000,
        "duration": 10_000,
        "localEndpoint": {"serviceName": service},
    }
    return sent | ({"parentId": f"{parent:016x}"} if parent else {}) | more


def calls_between_hosts(reason: Reason, offsets: Mapping[str, int], pairs: Sequence[tuple[str, str]]) -> list[Request]:
    """One trace a pair of hosts (caller, callee), their clocks ahead by `offsets` ns: a client of 10 ms, its server of 8."""
    requests = []
    for number, (caller, callee) in enumerate(pairs):
        trace = HIGH.to_bytes(8, "big") + trace_id(reason, number).to_bytes(8, "big")
        for host, id_, parent, kind, (start, end) in (
            (caller, 1, 0, CLIENT, (0, 10 * MS)),
            (callee, 2, 1, SERVER, (MS, 9 * MS)),
        ):
            ahead = number * 200 * MS + offsets.get(host, 0)
            name = f"{'client' if kind == CLIENT else 'server'} {number}"
            sent = span(reason, id_, name, parent, at=(start + ahead, end + ahead), kind=kind, trace_id=trace)
            requests.append(grpc(otel(sent, host_name=host)))
    return requests


R = Reason

GOOD: Row = {"quality": [], "duration_ns": 10 * MS}
WRONG_BY = 50 * MS
CLOCKS_OF_THREE = [("h1", "h2"), ("h1", "h3"), ("h2", "h3")] * 4

CASES: dict[Reason, Case] = {
    # The first resource is whole; then the request breaks off within the second.
    R.REQUEST_UNDECODABLE: Case(
        sent=[
            Request(
                otlp.decode,
                otel(span(R.REQUEST_UNDECODABLE, 1, "good")).SerializeToString() + b"\x0a\x7f\x0a",
                "otlp-grpc",
            ),
            Request(otlp_json.decode, b'{"resourceSpans": [', "otlp-http"),
        ],
        spans={"good": GOOD},
        sender="unknown_service",
        sdk="otlp",
        refused=2,
        message="byte ",
    ),
    R.SPAN_UNDECODABLE: Case(
        [
            otlp_json_spans(
                json_span(R.SPAN_UNDECODABLE, 1, "good"), json_span(R.SPAN_UNDECODABLE, 2, "odd", startTimeUnixNano="yesterday")
            )
        ],
        {"good": GOOD},
        refused=1,
        message="startTimeUnixNano is 'yesterday', not a number",
    ),
    R.TRACE_ID_MISSING: Case(
        one(R.TRACE_ID_MISSING, trace_id=bytes(16)), {"good": GOOD}, refused=1, message="trace_id is missing or all zeros"
    ),
    R.TRACE_ID_MALFORMED: Case(
        one(R.TRACE_ID_MALFORMED, trace_id=b"12345"), {"good": GOOD}, refused=1, message="trace_id is neither 8 nor 16 bytes"
    ),
    R.SPAN_ID_MISSING: Case(
        one(R.SPAN_ID_MISSING, span_id=b""), {"good": GOOD}, refused=1, message="span_id is missing or all zeros"
    ),
    R.SPAN_ID_MALFORMED: Case(
        one(R.SPAN_ID_MALFORMED, span_id=b"1234"), {"good": GOOD}, refused=1, message="span_id is not 8 bytes"
    ),
    R.ID_NOT_HEX: Case(
        [jaeger_trace(R.ID_NOT_HEX, ("order-17", "odd", ""), ("2a", "child", "order-17"))],
        {
            "odd": {"depth": 0, "notes": ['span_id="order-17"']},
            "child": {"depth": 1, "parent": "odd", "notes": ['parent_span_id="order-17"']},
        },
        ["odd", "child"],
        sdk="jaeger",
    ),
    R.UTF8_INVALID: Case(
        [
            Request(
                otlp.decode,
                otel(span(R.UTF8_INVALID, 1, "good"), span(R.UTF8_INVALID, 2, "caf?", 1))
                .SerializeToString()
                .replace(b"caf?", b"caf\xe9"),
                "otlp-grpc",
            )
        ],
        {"good": GOOD, "caf\ufffd": {"parent": "good"}},
        ["caf\ufffd"],
    ),
    R.SERVICE_MISSING: Case(
        [
            grpc(otel(span(R.SERVICE_MISSING, 1, "nobody's"), resource=SDK)),
            grpc(otel(span(R.SERVICE_MISSING, 2, "java's", 1), resource=SDK | {"service.name": "unknown_service:java"})),
        ],
        {"nobody's": {"service": "unknown_service"}, "java's": {"service": "unknown_service:java", "parent": "nobody's"}},
        ["nobody's", "java's"],
        sender="unknown_service",
    ),
    R.OPERATION_MISSING: Case(one(R.OPERATION_MISSING, name=""), {"good": GOOD, "unknown": {"parent": "good"}}, ["unknown"]),
    R.PARENT_ID_MALFORMED: Case(
        one(R.PARENT_ID_MALFORMED, parent_span_id=b"123"),
        {
            "good": GOOD,
            "odd": {"parent": None, "depth": 0, "is_root": False, "quality": [R.PARENT_ID_MALFORMED, R.PARENT_MISSING]},
        },
        ["odd"],
    ),
    R.KIND_UNKNOWN: Case(one(R.KIND_UNKNOWN, kind=9), {"good": GOOD, "odd": {"kind": "unspecified"}}, ["odd"]),
    R.STATUS_UNKNOWN: Case(
        one(R.STATUS_UNKNOWN, status={"code": 7}), {"good": GOOD, "odd": {"status": "unset", "error": False}}, ["odd"]
    ),
    R.TIME_IMPLAUSIBLE: Case(
        [
            grpc(otel(span(R.TIME_IMPLAUSIBLE, 1, "long ago", start_time_unix_nano=5, end_time_unix_nano=12))),
            grpc(
                otel(
                    span(
                        R.TIME_IMPLAUSIBLE,
                        1,
                        "to come",
                        at=(25 * HOUR_NS, 26 * HOUR_NS),
                        trace_id=other_trace(R.TIME_IMPLAUSIBLE),
                    )
                )
            ),
        ],
        {
            "long ago": {"start_ns": 5, "end_ns": 12, "duration_ns": 7, "filed_as_received": True},
            "to come": {"start_ns": T0 + 25 * HOUR_NS, "duration_ns": HOUR_NS, "filed_as_received": True},
        },
        ["long ago", "to come"],
    ),
    R.VALUE_TOO_DEEP: Case(
        one(R.VALUE_TOO_DEEP, attributes=[{"key": "deep", "value": nested(20)}, {"key": "flat", "value": nested(0)}]),
        {"good": GOOD, "odd": {"attributes": [("deep", "[" * 16 + "null" + "]" * 16), ("flat", "bottom")]}},
        ["odd"],
    ),
    R.END_BEFORE_START: Case(
        one(R.END_BEFORE_START, start_time_unix_nano=T0 + 5 * MS, end_time_unix_nano=T0 + 2 * MS),
        {"good": GOOD, "odd": {"duration_ns": 0, "self_ns": 0, "critical_ns": 0, "start_ns": T0 + 5 * MS, "end_ns": T0 + 2 * MS}},
        ["odd"],
    ),
    R.DURATION_ABSURD: Case(
        [grpc(otel(span(R.DURATION_ABSURD, 1, "odd", at=(-25 * HOUR_NS, 0))))],
        {"odd": {"duration_ns": 25 * HOUR_NS, "critical_ns": 25 * HOUR_NS, "end_ns": T0}},
        ["odd"],
    ),
    # A sender that got no answer sends again.
    R.DUPLICATE: Case(one(R.DUPLICATE) * 2, {"good": {"duration_ns": 10 * MS}, "odd": {"parent": "good"}}, ["good", "odd"]),
    R.DUPLICATE_CONFLICT: Case(
        [
            grpc(otel(span(R.DUPLICATE_CONFLICT, 1, "done", at=(0, 8 * MS), status={"code": 2}))),
            grpc(otel(span(R.DUPLICATE_CONFLICT, 1, "begun", at=(0, 3 * MS)))),
        ],
        {"done": {"duration_ns": 8 * MS, "error": True, "quality": [R.DUPLICATE_CONFLICT]}},
        ["done"],
    ),
    R.SHARED_ID: Case(
        [
            zipkin_spans(
                zipkin_span(R.SHARED_ID, 1, "call", "web", kind="CLIENT"),
                zipkin_span(R.SHARED_ID, 3, "render", "web", 1, duration=1_000),
            ),
            zipkin_spans(
                zipkin_span(R.SHARED_ID, 1, "serve", "shop", kind="SERVER", shared=True, duration=8_000),
                zipkin_span(R.SHARED_ID, 2, "query", "shop", 1, duration=5_000),
            ),
        ],
        {
            "call": {"parent": None, "depth": 0, "quality": []},
            "serve": {"parent": "call", "depth": 1},
            "query": {"parent": "serve", "depth": 2, "quality": []},
            "render": {"parent": "call", "depth": 1, "quality": []},
        },
        ["serve"],
        sdk="zipkin",
    ),
    R.TRACE_ID_MIXED: Case(
        [
            zipkin_spans(zipkin_span(R.TRACE_ID_MIXED, 1, "wide", "shop")),
            zipkin_spans(zipkin_span(R.TRACE_ID_MIXED, 2, "narrow", "shop", 1, traceId=f"{trace_id(R.TRACE_ID_MIXED):016x}")),
        ],
        {"wide": {"parent": None, "wide_id": True}, "narrow": {"parent": "wide", "wide_id": True}},
        ["wide"],
        sdk="",
        trace={"spans": 2, "complete": True},
    ),
    R.PARENT_MISSING: Case(
        [
            grpc(
                otel(
                    span(R.PARENT_MISSING, 1, "good"),
                    span(R.PARENT_MISSING, 2, "lost", 77),
                    span(R.PARENT_MISSING, 3, "below", 2),
                )
            )
        ],
        {
            "good": GOOD,
            "lost": {"depth": 0, "is_root": False, "critical_ns": 0},
            "below": {"parent": "lost", "depth": 1, "quality": []},
        },
        ["lost"],
    ),
    R.PARENT_SELF: Case(
        one(R.PARENT_SELF, parent_span_id=(2).to_bytes(8, "big")), {"good": GOOD, "odd": {"depth": 0, "is_root": False}}, ["odd"]
    ),
    R.PARENT_CYCLE: Case(
        [
            grpc(
                otel(
                    span(R.PARENT_CYCLE, 1, "second", 3, at=(2 * MS, 8 * MS)),
                    span(R.PARENT_CYCLE, 2, "third", 1, at=(3 * MS, 7 * MS)),
                    span(R.PARENT_CYCLE, 3, "first", 2, at=(MS, 9 * MS)),
                )
            )
        ],
        {
            "first": {"depth": 0, "is_root": False, "critical_ns": 2 * MS},
            "second": {"depth": 1, "parent": "first", "critical_ns": 2 * MS, "quality": []},
            "third": {"depth": 2, "parent": "second", "critical_ns": 4 * MS, "quality": []},
        },
        ["first"],
    ),
    R.ROOT_MISSING: Case(
        [grpc(otel(span(R.ROOT_MISSING, 1, "later", 77, at=(MS, 2 * MS)), span(R.ROOT_MISSING, 2, "earlier", 78)))],
        {"earlier": {"critical_ns": 10 * MS, "is_root": False}, "later": {"critical_ns": 0, "is_root": False}},
        ["earlier"],
        sdk="",
        trace={"duration_ns": 10 * MS, "spans": 2, "complete": False},
    ),
    R.SEVERAL_ROOTS: Case(
        [grpc(otel(span(R.SEVERAL_ROOTS, 1, "later", at=(MS, 20 * MS)), span(R.SEVERAL_ROOTS, 2, "earlier")))],
        {"earlier": {"critical_ns": 10 * MS, "is_root": True}, "later": {"critical_ns": 0, "is_root": True}},
        ["earlier"],
        sdk="",
        trace={"duration_ns": 10 * MS, "spans": 2, "complete": False},
    ),
    R.STARTS_BEFORE_PARENT: Case(
        one(R.STARTS_BEFORE_PARENT, start_time_unix_nano=T0 - 4 * MS, end_time_unix_nano=T0 + 6 * MS),
        {"good": GOOD | {"critical_ns": 4 * MS}, "odd": {"duration_ns": 10 * MS, "critical_ns": 6 * MS}},
        ["odd"],
    ),
    R.OUTLIVES_PARENT: Case(
        one(R.OUTLIVES_PARENT, start_time_unix_nano=T0 + 3 * MS, end_time_unix_nano=T0 + 18 * MS),
        {"good": GOOD | {"critical_ns": 3 * MS}, "odd": {"duration_ns": 15 * MS, "critical_ns": 7 * MS}},
        ["odd"],
    ),
    # Three hosts call each other; the third one's clock is wrong, by the word of both others.
    R.CLOCK_CORRECTED: Case(
        calls_between_hosts(R.CLOCK_CORRECTED, {"h3": WRONG_BY}, CLOCKS_OF_THREE),
        {
            f"{side} {number}": {"within_parent": True, "raw_ahead_ns": WRONG_BY if pair[half] == "h3" else 0}
            for number, pair in enumerate(CLOCKS_OF_THREE)
            for half, side in enumerate(("client", "server"))
        },
        [f"server {number}" for number, (_, callee) in enumerate(CLOCKS_OF_THREE) if callee == "h3"],
    ),
    # A single call: too little to say whose clock is wrong.
    R.CLOCK_UNCERTAIN: Case(
        calls_between_hosts(R.CLOCK_UNCERTAIN, {"h5": -WRONG_BY}, [("h4", "h5")]),
        {
            "client 0": {"quality": [], "adj_start_ns": T0},
            "server 0": {"adj_start_ns": T0 + MS - WRONG_BY, "adj_end_ns": T0 + 9 * MS - WRONG_BY},
        },
        ["server 0"],
    ),
    R.CURATION_FAILED: Case(
        [
            grpc(
                otel(
                    span(R.CURATION_FAILED, 1, "good"),
                    span(R.CURATION_FAILED, 1, "cursed", trace_id=other_trace(R.CURATION_FAILED)),
                )
            )
        ],
        {"good": GOOD},
        refused=1,
        message="ValueError: a defect; kept in quarantine/",
    ),
}


class Lake:
    """What the tables and the report show after everything was sent."""

    def __init__(self, chalk: chalkmark.Chalkmark) -> None:
        notes = list(chalk.sql("select trace_id, span_id, key || '=' || value as note from annotations where kind = 'note'"))
        self.spans: dict[Reason, dict[str, dict[str, Any]]] = {reason: {} for reason in Reason}
        rows = list(chalk.sql("from spans"))
        by_id = {(row["trace_id"], row["span_id"]): row for row in rows}
        for row in rows:
            parent = by_id.get((row["trace_id"], row["parent_span_id"]))
            mine = [n["note"] for n in notes if (n["trace_id"], n["span_id"]) == (row["trace_id"], row["span_id"])]
            row |= {"parent": parent and parent["operation"], "notes": mine}
            row["wide_id"] = int.from_bytes(row["trace_id"][:8], "big") == HIGH
            row["filed_as_received"] = int(row["ts"].timestamp() * 1e6) == row["received_ns"] // 1000
            row["raw_ahead_ns"] = round((row["start_ns"] - row["adj_start_ns"]) / (5 * MS)) * 5 * MS
            row["within_parent"] = parent is None or (
                parent["adj_start_ns"] <= row["adj_start_ns"] and row["adj_end_ns"] <= parent["adj_end_ns"]
            )
            of_case = self.spans[_reason(row["trace_id"])]
            assert row["operation"] not in of_case, f"{row['operation']} is there twice"
            of_case[row["operation"]] = row
        self.traces: dict[Reason, dict[str, dict[str, Any]]] = {reason: {} for reason in Reason}
        for row in chalk.sql("from traces"):
            self.traces[_reason(row["trace_id"])][row["root_operation"]] = row
        self.rejections = list(chalk.sql("from rejections"))
        self.report = list(chalk.reports["quality/by_sender"]())


def _reason(trace: bytes) -> Reason:
    """The case that a trace belongs to."""
    return list(Reason)[int.from_bytes(trace[8:], "big") // 100 - 1]


def refuse_the_cursed(raw: pa.Table) -> Assembled:
    """`assemble` with a defect: no input is known on which curation fails."""
    if "cursed" in raw["operation"].to_pylist():
        raise ValueError("a defect")
    return assemble(raw)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """All cases, received one after another and curated at once; the one that needs a defect afterwards."""
    data = tmp_path_factory.mktemp("quality")
    landing = LandingWriter(data)
    intake = Intake(landing, threads=1, max_waiting_bytes=1 << 20)

    async def send(requests: Iterable[Request]) -> None:
        for request in requests:
            try:
                await intake.take(request.decode, request.body, request.source)
            except UndecodableError:
                assert request in CASES[Reason.REQUEST_UNDECODABLE].sent

    with Curator(data) as curator, pytest.MonkeyPatch.context() as patch:
        asyncio.run(send(request for reason in CASES if reason != Reason.CURATION_FAILED for request in CASES[reason].sent))
        curator.step(flush=True)
        patch.setattr("chalkmark.engine.draft.assemble", refuse_the_cursed)
        asyncio.run(send(CASES[Reason.CURATION_FAILED].sent))
        curator.step(flush=True)
    intake.close()
    landing.close()
    with chalkmark.open(data) as chalk:
        yield Lake(chalk)


def test_every_rule_has_a_case() -> None:
    assert set(CASES) == set(Reason) == set(RULES)


@pytest.mark.parametrize("reason", CASES)
def test_the_result_is_what_the_rule_says(lake: Lake, reason: Reason) -> None:
    case = CASES[reason]
    shown = lake.spans[reason]
    assert set(shown) == set(case.spans)
    for name, expected in case.spans.items():
        assert {key: shown[name][key] for key in expected} == expected, name


@pytest.mark.parametrize("reason", [r for r in CASES if RULES[r].scope == "span"])
def test_exactly_the_faulty_spans_are_marked(lake: Lake, reason: Reason) -> None:
    assert {name for name, row in lake.spans[reason].items() if reason in row["quality"]} == set(CASES[reason].marked)
    for row in lake.traces[reason].values():
        spans = [s for s in lake.spans[reason].values() if s["trace_id"] == row["trace_id"]]
        assert (reason in row["quality"]) == any(reason in s["quality"] for s in spans)


@pytest.mark.parametrize("reason", [r for r in CASES if RULES[r].scope == "trace"])
def test_exactly_the_faulty_trace_is_marked(lake: Lake, reason: Reason) -> None:
    case = CASES[reason]
    assert {name for name, row in lake.traces[reason].items() if reason in row["quality"]} == set(case.marked)
    for name in case.marked:
        assert {key: lake.traces[reason][name][key] for key in case.trace} == case.trace


@pytest.mark.parametrize("reason", [r for r in CASES if RULES[r].scope == "rejected"])
def test_what_is_refused_is_counted_by_sender(lake: Lake, reason: Reason) -> None:
    case = CASES[reason]
    rows = [r for r in lake.rejections if r["reason"] == reason]
    assert Counter({(r["service"], r["sdk"]): r["spans"] for r in rows}).keys() == {(case.sender, case.sdk)}
    assert sum(r["spans"] for r in rows) == case.refused
    assert any(case.message in r["example"] for r in rows)


@pytest.mark.parametrize("reason", CASES)
def test_the_report_names_the_sender_and_an_example(lake: Lake, reason: Reason) -> None:
    case = CASES[reason]
    found = [row for row in lake.report if (row["service"], row["sdk"], row["reason"]) == (case.sender, case.sdk, reason)]
    assert len(found) == 1
    assert found[0]["scope"] == RULES[reason].scope
    if RULES[reason].scope == "rejected":
        assert found[0]["spans"] == case.refused
        assert case.message in found[0]["message"]
    else:
        marked = [row for traces in (lake.spans, lake.traces) for of_case in traces.values() for row in of_case.values()]
        holding = {row["trace_id"] for row in marked if reason in row["quality"]}
        assert set(found[0]["example_trace_ids"]) <= holding


def test_the_report_names_nothing_else(lake: Lake) -> None:
    assert {(row["reason"], row["scope"]) for row in lake.report} == {(reason, RULES[reason].scope) for reason in Reason}
