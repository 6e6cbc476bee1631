from datetime import timedelta

from chalkmark.tables.quality import RULES
from reports.harness import HOUR, check_report

A, B, C = (bytes([n]) * 16 for n in (1, 2, 3))
LATER = HOUR + timedelta(minutes=5)
GOOD = {"service": "cart", "sdk": "java 1.40"}
SPANS = [
    {**GOOD, "trace_id": A},
    {**GOOD, "trace_id": A, "quality": ["duplicate", "parent_missing"]},
    {**GOOD, "trace_id": B, "quality": ["duplicate"], "ts": LATER},
    {**GOOD, "trace_id": B, "ts": LATER},
    {"service": "mail", "sdk": "zipkin", "trace_id": C, "quality": ["duplicate"]},
]
TRACES = [
    {"trace_id": A, "root_service": "cart", "spans": 6, "quality": ["duplicate", "parent_missing", "several_roots"]},
    {"trace_id": B, "root_service": "cart", "spans": 2, "quality": ["duplicate"]},
]
REJECTIONS = [
    {"service": "mail", "sdk": "zipkin", "reason": "span_id_missing", "spans": 2, "example": "spans[1].id is empty"},
    {"service": "mail", "sdk": "zipkin", "reason": "span_id_missing", "spans": 1, "example": "spans[7].id is empty", "ts": LATER},
]


def test_counts_each_reason_of_each_sender() -> None:
    check_report(
        "quality/by_sender",
        given={"spans": SPANS, "traces": TRACES, "rejections": REJECTIONS},
        expect=[
            {"service": "cart", "sdk": "", "reason": "several_roots", "scope": "trace", "spans": 6, "share": 0.75},
            {
                "service": "mail",
                "reason": "span_id_missing",
                "scope": "rejected",
                "spans": 3,
                "share": 0.75,
                "last_seen": LATER,
                "message": "spans[1].id is empty",
                "example_trace_ids": None,
            },
            {
                "service": "cart",
                "sdk": "java 1.40",
                "reason": "duplicate",
                "scope": "span",
                "spans": 2,
                "share": 0.5,
                "first_seen": HOUR,
                "last_seen": LATER,
                "example_trace_ids": [A, B],
            },
            {"service": "cart", "reason": "parent_missing", "spans": 1, "share": 0.25, "example_trace_ids": [A]},
            {"service": "mail", "reason": "duplicate", "scope": "span", "spans": 1, "share": 0.25},
        ],
    )


def test_parameters_select() -> None:
    check_report(
        "quality/by_sender",
        given={"spans": SPANS, "traces": TRACES, "rejections": REJECTIONS},
        params={"service": "cart", "since": LATER},
        expect=[{"reason": "duplicate", "spans": 1, "share": 0.5}],
    )


def test_knows_every_rule_about_traces() -> None:
    trace = {"trace_id": A, "root_service": "cart", "spans": 1, "quality": sorted(RULES)}
    about_traces = sorted(reason for reason, rule in RULES.items() if rule.scope == "trace")
    check_report("quality/by_sender", given={"traces": [trace]}, expect=[{"reason": reason} for reason in about_traces])
