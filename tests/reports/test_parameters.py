from datetime import UTC, datetime
from typing import Any

import pytest

from chalkmark.errors import ChalkmarkError
from chalkmark.reports.parameters import Parameter, parse_time

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("1h", datetime(2026, 11, 2, 11, tzinfo=UTC)),
        ("90s", datetime(2026, 11, 2, 11, 58, 30, tzinfo=UTC)),
        ("1.5d", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T10:00:00+02:00", datetime(2026, 11, 1, 8, tzinfo=UTC)),
        ("2026-11-01T10:00Z", datetime(2026, 11, 1, 10, tzinfo=UTC)),
    ],
)
def test_times(text: str, time: datetime) -> None:
    assert parse_time(text, NOW) == time


@pytest.mark.parametrize(
    ("type_", "given", "value"),
    [
        ("text", "7", "7"),
        ("integer", "7", 7),
        ("number", "7", 7.0),
        ("number", 7, 7),
        ("boolean", "Yes", True),
        ("text", None, None),
    ],
)
def test_texts_become_values(type_: str, given: Any, value: Any) -> None:
    assert Parameter("x", type_, "what it is").value(given) == value


@pytest.mark.parametrize(
    ("type_", "given"),
    [("integer", "7.5"), ("integer", True), ("boolean", "maybe"), ("time", "yesterday"), ("time", "5y"), ("text", 7)],
)
def test_a_wrong_value_is_named(type_: str, given: Any) -> None:
    with pytest.raises(ChalkmarkError, match="Parameter x") as raised:
        Parameter("x", type_, "what it is").value(given)
    assert raised.value.hint == "what it is"
