"""The rules of data quality: every reason that can stand in a `quality` column or in `rejections`, in one list.

A reason is a contract: people filter on its name. `docs/quality.md` is generated from here, and
`tests/test_quality_rules.py` shows each reason and its result end to end.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Names of the rules, as they appear in the tables."""

    # Refused on arrival: nothing is stored but the count.
    REQUEST_UNDECODABLE = "request_undecodable"
    SPAN_UNDECODABLE = "span_undecodable"
    TRACE_ID_MISSING = "trace_id_missing"
    TRACE_ID_MALFORMED = "trace_id_malformed"
    SPAN_ID_MISSING = "span_id_missing"
    SPAN_ID_MALFORMED = "span_id_malformed"
    # Found on arrival: the span is kept.
    ID_NOT_HEX = "id_not_hex"
    UTF8_INVALID = "utf8_invalid"
    SERVICE_MISSING = "service_missing"
    OPERATION_MISSING = "operation_missing"
    PARENT_ID_MALFORMED = "parent_id_malformed"
    KIND_UNKNOWN = "kind_unknown"
    STATUS_UNKNOWN = "status_unknown"
    TIME_IMPLAUSIBLE = "time_implausible"
    VALUE_TOO_DEEP = "value_too_deep"
    # Found by curation, within one span.
    END_BEFORE_START = "end_before_start"
    DURATION_ABSURD = "duration_absurd"
    # Found by curation, within a trace.
    DUPLICATE = "duplicate"
    DUPLICATE_CONFLICT = "duplicate_conflict"
    SHARED_ID = "shared_id"
    TRACE_ID_MIXED = "trace_id_mixed"
    PARENT_MISSING = "parent_missing"
    PARENT_SELF = "parent_self"
    PARENT_CYCLE = "parent_cycle"
    ROOT_MISSING = "root_missing"
    SEVERAL_ROOTS = "several_roots"
    STARTS_BEFORE_PARENT = "starts_before_parent"
    OUTLIVES_PARENT = "outlives_parent"
    # Found by curation, over many traces.
    CLOCK_CORRECTED = "clock_corrected"
    CLOCK_UNCERTAIN = "clock_uncertain"
    # A defect of Chalkmark's own.
    CURATION_FAILED = "curation_failed"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a reason means and what becomes of the data. `scope` is `rejected`, `span` or `trace`."""

    reason: Reason
    scope: str
    meaning: str
    result: str


RULES: dict[Reason, Rule] = {
    r.reason: r
    for r in (
        Rule(
            Reason.REQUEST_UNDECODABLE,
            "rejected",
            "The request's or file's bytes are not of the format they claim.",
            "What stands whole before the fault is kept where the format allows it (OTLP protobuf, lines of a file); the rest is "
            "refused with the position and kind of the fault, and counts as 1 in `rejections`, for nobody knows how many spans it held.",
        ),
        Rule(
            Reason.SPAN_UNDECODABLE,
            "rejected",
            "One span's bytes or fields are broken, its neighbours' are not.",
            "The span is refused (partial success), the others are kept.",
        ),
        Rule(Reason.TRACE_ID_MISSING, "rejected", "The trace identifier is empty or all zeros.", "The span is refused."),
        Rule(Reason.TRACE_ID_MALFORMED, "rejected", "The trace identifier is neither 8 nor 16 bytes.", "The span is refused."),
        Rule(Reason.SPAN_ID_MISSING, "rejected", "The span identifier is empty or all zeros.", "The span is refused."),
        Rule(Reason.SPAN_ID_MALFORMED, "rejected", "The span identifier is not 8 bytes.", "The span is refused."),
        Rule(
            Reason.ID_NOT_HEX,
            "span",
            "An identifier in a file is not hexadecimal.",
            "A hash of it is used; the original stands in `annotations`.",
        ),
        Rule(Reason.UTF8_INVALID, "span", "A text is not UTF-8.", "Broken bytes are replaced by U+FFFD."),
        Rule(
            Reason.SERVICE_MISSING,
            "span",
            "The resource has no `service.name`, an empty one, or the `unknown_service` that SDKs say where they were told none.",
            "The service is `unknown_service`, or the SDK's `unknown_service:<process>`.",
        ),
        Rule(Reason.OPERATION_MISSING, "span", "The span has no name.", "The operation is `unknown`."),
        Rule(
            Reason.PARENT_ID_MALFORMED,
            "span",
            "The parent identifier is not 8 bytes.",
            "The span is kept as if its parent had not arrived.",
        ),
        Rule(
            Reason.KIND_UNKNOWN,
            "span",
            "The span kind is none that OpenTelemetry defines.",
            "The kind is `unspecified`.",
        ),
        Rule(
            Reason.STATUS_UNKNOWN,
            "span",
            "The status code is none that OpenTelemetry defines.",
            "The status is `unset`.",
        ),
        Rule(
            Reason.TIME_IMPLAUSIBLE,
            "span",
            "The start is before the year 2000 or more than a day after arrival.",
            "Times are kept as sent; where the span is the root, its trace is filed (`ts`) under the time of its arrival.",
        ),
        Rule(
            Reason.VALUE_TOO_DEEP,
            "span",
            "An attribute value is nested deeper than 16 levels.",
            "What lies deeper is replaced by null.",
        ),
        Rule(Reason.END_BEFORE_START, "span", "The span ends before it starts.", "The duration is 0; the raw end is kept."),
        Rule(Reason.DURATION_ABSURD, "span", "The span lasts more than a day.", "Kept as it is."),
        Rule(Reason.DUPLICATE, "span", "The same span arrived more than once, with the same content.", "One copy is kept."),
        Rule(
            Reason.DUPLICATE_CONFLICT,
            "span",
            "Spans with one identifier arrived with different contents.",
            "The copy that ends last is kept; equal ends are decided by a hash of the content, never by arrival.",
        ),
        Rule(
            Reason.SHARED_ID,
            "span",
            "Client and server halves of one call share an identifier (Zipkin B3).",
            "The server half gets an identifier of its own, with the client half as its parent; children follow the half of their service.",
        ),
        Rule(
            Reason.TRACE_ID_MIXED,
            "trace",
            "Spans of one trace carry its 64-bit and its 128-bit identifier.",
            "The 128-bit one is used for all; its spans carry the mark too.",
        ),
        Rule(
            Reason.PARENT_MISSING, "span", "The parent that the span names did not arrive.", "The span begins a tree of its own."
        ),
        Rule(Reason.PARENT_SELF, "span", "The span names itself as its parent.", "The span begins a tree of its own."),
        Rule(
            Reason.PARENT_CYCLE,
            "span",
            "Parents form a ring.",
            "The ring is cut at its earliest span, which begins a tree of its own.",
        ),
        Rule(Reason.ROOT_MISSING, "trace", "No span of the trace is without a parent.", "The earliest tree stands for the root."),
        Rule(
            Reason.SEVERAL_ROOTS,
            "trace",
            "More than one span of the trace is without a parent.",
            "The earliest one is the root; all are kept.",
        ),
        Rule(
            Reason.STARTS_BEFORE_PARENT,
            "span",
            "After clock correction, the span starts before its parent, by more than 2 us, or 100 us where hosts differ.",
            "On the critical path it is cut to its parent.",
        ),
        Rule(
            Reason.OUTLIVES_PARENT,
            "span",
            "More than half of a span that its parent waits for comes after the parent's end, after clock correction.",
            "On the critical path it is cut to its parent.",
        ),
        Rule(
            Reason.CLOCK_CORRECTED,
            "span",
            "The host's clock was off by more than its uncertainty.",
            "`adj_start_ns` and `adj_end_ns` hold the corrected times.",
        ),
        Rule(
            Reason.CLOCK_UNCERTAIN,
            "span",
            "The span's times contradict its parent's, and the evidence for an offset is thin.",
            "Times are left alone; only between the two calls around a step of the clock the nearer side's offset is taken off.",
        ),
        Rule(
            Reason.CURATION_FAILED,
            "rejected",
            "Curation failed on the trace. That is a defect of Chalkmark; please report it with the message in `example`.",
            "Its spans are kept in the folder `quarantine` of the data folder; moved to `landing`, they are tried again.",
        ),
    )
}
