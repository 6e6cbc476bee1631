from __future__ import annotations

import pytest

from chalkmark.errors import ChalkmarkError
from chalkmark.reports.parse import Report, parse

GOOD = """\
-- question: Which services answer slowly?
-- grain: one row a service,
--   the slowest first
--
-- param service text = null: only this one
-- param least_calls integer = 10: fewer are noise
-- note: Durations as the callee saw them.

with x as (select s.service as name, s.duration_ns from spans s where s.ts >= $since and s.ts < $until)
select
    -- Name, as sent.
    x.name,
    -- [ns] The longest that a call took,
    -- errors included.
    max(x.duration_ns)
        as longest_ns,
    -- Text with, a comma and a -- comment.
    max('a, -- $b') as text
from x
where ($service is null or x.name = $service)
group by x.name
having count(*) >= $least_calls
"""


def test_the_file_says_everything() -> None:
    report = parse("speed/slow", GOOD)
    assert (report.name, report.function) == ("speed/slow", "speed_slow")
    assert report.question == "Which services answer slowly?"
    assert report.grain == "one row a service, the slowest first"
    assert report.note == "Durations as the callee saw them."
    assert [(p.name, p.type, p.default, p.required) for p in report.params] == [
        ("service", "text", None, False),
        ("least_calls", "integer", 10, False),
    ]
    assert [(c.name, c.unit, c.doc) for c in report.columns] == [
        ("name", "", "Name, as sent."),
        ("longest_ns", "ns", "The longest that a call took, errors included."),
        ("text", "", "Text with, a comma and a -- comment."),
    ]
    assert report.sql.startswith("with x as")


@pytest.mark.parametrize(
    ("was", "becomes", "line", "reason"),
    [
        ("-- question: Which services answer slowly?\n", "", 1, "no question"),
        ("-- grain: one row a service,\n--   the slowest first\n", "", 1, "no grain"),
        ("-- note:", "-- remark:", 7, "no header line"),
        ("-- note:", "-- grain:", 7, "a second grain"),
        ("integer = 10", "int = 10", 6, "unknown type int"),
        ("integer = 10", "integer = ten", 6, "is no literal"),
        ("integer = 10", "integer = 1.5", 6, "not a whole number"),
        ("param least_calls", "param service", 6, "declared twice"),
        ("param least_calls", "param since", 6, "declared twice"),
        (" >= $least_calls", " >= 10", 1, "least_calls is not used"),
        (" and s.ts < $until", "", 1, "until is not used"),
        ("= $service)", "= $servise)", 20, r"\$servise is not declared"),
        ("select s.service as", "select service as", 9, "service is a parameter and a column"),
        ("    -- Name, as sent.\n", "", 11, "column name has no comment"),
        ("    x.name,\n", "    x.name, x.name as twice,\n", 12, "shares its line"),
        ("        as longest_ns", "", 16, "has no name"),
        ("    x.name,\n", "    x.name\n", 13, "a comment in the middle of a column"),
        ("\nselect\n", "\nselect distinct\n", 9, "no `select` on a line of its own"),
    ],
)
def test_each_fault_is_named_with_its_line(was: str, becomes: str, line: int, reason: str) -> None:
    assert was in GOOD
    with pytest.raises(ChalkmarkError, match=reason) as raised:
        parse("speed/slow", GOOD.replace(was, becomes, 1))
    assert f"reports/speed/slow.sql:{line}:" in str(raised.value)


def test_required_is_what_has_no_default() -> None:
    def with_param(text: str) -> Report:
        return parse("speed/slow", GOOD.replace("service text = null", text))

    assert with_param("service text").params[0].required
    assert with_param("service text").has_view is False
    assert with_param("service text = 'it''s'").params[0].literal() == "'it''s'::varchar"
