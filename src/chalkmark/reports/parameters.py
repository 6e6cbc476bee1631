"""Parameters of reports: their types, defaults, and how a text from a command line becomes a value."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from chalkmark.errors import ChalkmarkError

SQL_TYPES = {"text": "varchar", "integer": "bigint", "number": "double", "boolean": "boolean", "time": "timestamptz"}
"""The types a parameter can have, and what SQL calls them."""

_UNITS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One `$name` of a report. `required` ones have no default; a default of None means null."""

    name: str
    type: str
    doc: str
    default: Any = None
    required: bool = False

    def value(self, given: Any) -> Any:
        """`given`, a text or a value, as a value of this type. Raises ChalkmarkError naming the parameter."""
        try:
            if given is None or not isinstance(given, str):
                return self._checked(given)
            return _FROM_TEXT[self.type](given)
        except (ValueError, KeyError):
            raise ChalkmarkError(f"Parameter {self.name}: {given!r} is not {_WANTED[self.type]}.", self.doc) from None

    def _checked(self, given: Any) -> Any:
        kinds = {"text": str, "integer": int, "number": (int, float), "boolean": bool, "time": datetime}
        fits = isinstance(given, kinds[self.type]) and (self.type == "boolean" or not isinstance(given, bool))  # type: ignore[arg-type]
        if not (fits or (given is None and not self.required)):
            raise ValueError
        return given

    def literal(self) -> str:
        """The default as SQL."""
        match self.default:
            case None:
                text = "null"
            case bool():
                text = str(self.default).lower()
            case datetime():
                text = f"'{self.default.isoformat()}'"
            case str():
                text = "'" + self.default.replace("'", "''") + "'"
            case _:
                text = repr(self.default)
        return f"{text}::{SQL_TYPES[self.type]}"


def parse_time(text: str, now: datetime | None = None) -> datetime:
    """A time as people write it: an age (`90s`, `15m`, `1h`, `7d`), or ISO 8601, UTC where it names no zone.

    Raises ValueError.
    """
    age = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]+)", text.strip())
    if age and age[2] in _UNITS:
        return (now or datetime.now(UTC)) - timedelta(**{_UNITS[age[2]]: float(age[1])})
    time = datetime.fromisoformat(text.strip())
    return time if time.tzinfo else time.replace(tzinfo=UTC)


_FROM_TEXT: dict[str, Callable[[str], Any]] = {
    "text": str,
    "integer": int,
    "number": float,
    "boolean": lambda text: _TRUTH[text.lower()],
    "time": parse_time,
}
_WANTED = {
    "text": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "time": "a time such as 1h, 7d or 2026-11-01T12:00",
}

SINCE = Parameter("since", "time", "From this time on: an age (15m, 1h, 7d) or ISO 8601.", datetime(1970, 1, 1, tzinfo=UTC))
UNTIL = Parameter("until", "time", "Up to this time, itself excluded: an age or ISO 8601.", datetime(9999, 12, 31, tzinfo=UTC))
COMMON = (SINCE, UNTIL)
"""Every report has these; its header does not declare them, its SQL has to use both."""
