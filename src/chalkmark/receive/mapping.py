"""Which column of a table is which field of a span: given by the user, by a preset, or guessed from the names."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chalkmark.errors import ChalkmarkError

UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
"""Nanoseconds in each unit of a time column."""
TEXT_TARGETS = ("service", "pod", "operation", "kind", "status", "status_message", "host", "instance", "zone")
TARGETS = (
    "trace_id",
    "span_id",
    "parent_span_id",
    *TEXT_TARGETS,
    *(f"{field}_{unit}" for field in ("start", "end") for unit in (*UNITS, "iso")),
    *(f"duration_{unit}" for unit in UNITS),
)
"""What a column can be mapped to, besides `attributes.<name>`. `pod` stands for instance and service: a Kubernetes pod's
name, and the same without its replica-set and pod suffix."""
EXAMPLE = (
    "--map trace_id=TraceID,span_id=SpanID,parent_span_id=ParentID,service=Service,operation=Name,start_us=Start,duration_us=Took"
)

_LISTED = 24  # names that an error lists


@dataclass(frozen=True, slots=True)
class Mapping:
    """`columns` maps a target to the name of its column."""

    columns: dict[str, str]
    extra: bool = True
    """Columns that nothing names become attributes."""

    def __str__(self) -> str:
        return ",".join(f"{target}={column}" for target, column in self.columns.items())

    def time(self, field: str) -> tuple[str, str] | None:
        """Column and unit (`ns`, `us`, `ms`, `s` or `iso`) of `start`, `end` or `duration`; None where it is not mapped."""
        for target, column in self.columns.items():
            name, _, unit = target.rpartition("_")
            if name == field:
                return column, unit
        return None

    def attributes(self, names: Iterable[str]) -> dict[str, str]:
        """Attribute names and the columns of a table with columns `names` that hold them."""
        mapped = {t.removeprefix("attributes."): c for t, c in self.columns.items() if t.startswith("attributes.")}
        if self.extra:
            used = set(self.columns.values())
            mapped |= {name: name for name in names if name not in used and name not in mapped}
        return mapped

    def check(self, names: Sequence[str]) -> None:
        """Raises ChalkmarkError where the table, with columns `names`, lacks a column that is mapped."""
        for target, column in self.columns.items():
            if column not in names:
                raise ChalkmarkError(f"--map {target}={column}: there is no column {column!r}", _nearest(column, names))


PRESETS = {
    # The microservice demo shop as recorded in the Nezha data set: one row a span, times in ns.
    "onlineboutique": Mapping(
        {
            "trace_id": "TraceID",
            "span_id": "SpanID",
            "parent_span_id": "ParentID",
            "pod": "PodName",
            "operation": "OperationName",
            "start_ns": "StartTimeUnixNano",
            "end_ns": "EndTimeUnixNano",
        },
        extra=False,  # what is left is the duration, which start and end hold too
    ),
}


def parse(text: str, *, extra: bool = True) -> Mapping:
    """Read `target=column,...`. Raises ChalkmarkError naming an unknown target and what is missing."""
    columns: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        target, equals, column = (p.strip() for p in part.partition("="))
        if not equals or not column:
            raise ChalkmarkError(f"--map {part!r} is not of the form target=column.", EXAMPLE)
        if target not in TARGETS and not (target.startswith("attributes.") and target != "attributes."):
            raise ChalkmarkError(f"--map {part}: there is no field {target!r}", _nearest(target, TARGETS))
        if target in columns:
            raise ChalkmarkError(f"--map names {target} twice.", EXAMPLE)
        columns[target] = column
    mapping = Mapping(columns, extra)
    missing = [field for field in ("trace_id", "span_id") if field not in columns]
    if mapping.time("start") is None:
        missing.append("start_ns (or start_us, start_ms, start_s, start_iso)")
    if mapping.time("end") is None and mapping.time("duration") is None:
        missing.append("end_ns or duration_ns (or another unit)")
    if missing:
        raise ChalkmarkError(f"--map does not say which column is {' and which is '.join(missing)}.", EXAMPLE)
    return mapping


def preset(name: str) -> Mapping:
    """A mapping by name. Raises ChalkmarkError naming those there are."""
    if name not in PRESETS:
        raise ChalkmarkError(f"There is no preset {name!r}.", f"Presets: {', '.join(PRESETS)}.")
    return PRESETS[name]


_NAMES = {
    "trace_id": ("traceid",),
    "span_id": ("spanid",),
    "parent_span_id": ("parentspanid", "parentid"),
    "service": ("service", "servicename"),
    "pod": ("pod", "podname"),
    "operation": ("operation", "operationname", "spanname", "name"),
    "kind": ("kind", "spankind"),
    "status": ("status", "statuscode"),
    "status_message": ("statusmessage",),
    "host": ("host", "hostname"),
    "instance": ("instance", "instanceid", "serviceinstanceid"),
    "zone": ("zone", "availabilityzone"),
    "start_ns": ("starttimeunixnano", "startns"),
    "end_ns": ("endtimeunixnano", "endns"),
    "duration_ns": ("durationnano", "durationns"),
    **{f"{field}_{unit}": (field + unit, f"{field}time{unit}") for field in ("start", "end") for unit in ("us", "ms")},
    **{f"duration_{unit}": (f"duration{unit}",) for unit in ("us", "ms", "s")},
}
_UNSURE = {"start": ("start", "starttime", "timestamp"), "end": ("end", "endtime")}


def guess(names: Sequence[str], first: dict[str, str], *, extra: bool = True) -> Mapping:
    """The mapping that the column names suggest; `first` is the first row, which tells the unit of a bare `start`.

    A bare `duration` is left alone: nothing tells its unit. Raises ChalkmarkError listing the columns where the names
    do not suffice.
    """
    columns: dict[str, str] = {}
    plain = {re.sub("[^a-z0-9]", "", name.lower()): name for name in reversed(names)}
    for target, known in _NAMES.items():
        found = next((plain[k] for k in known if k in plain), None)
        field = target.rpartition("_")[0]
        taken = field in ("start", "end", "duration") and Mapping(columns).time(field) is not None
        if found is not None and not taken:
            columns[target] = found
    for field, known in _UNSURE.items():
        found = next((plain[k] for k in known if k in plain), None)
        if found is not None and Mapping(columns).time(field) is None and (unit := _unit(first.get(found, ""))):
            columns[f"{field}_{unit}"] = found
    if "service" in columns:
        columns.pop("pod", None)
    try:
        return parse(str(Mapping(columns)), extra=extra)
    except ChalkmarkError as error:
        raise ChalkmarkError(f"The columns do not tell which is which: {_listed(names)}.", f"Say so: {EXAMPLE}") from error


def _unit(value: str) -> str | None:
    """The unit in which `value` is a time between 2001 and 2286, by its number of digits."""
    digits = value.partition(".")[0]
    if digits.isdigit():
        return {19: "ns", 16: "us", 13: "ms", 10: "s"}.get(len(digits))
    return "iso" if re.match(r"\d{4}-\d\d-\d\d[T ]", value) else None


def _nearest(name: str, known: Sequence[str]) -> str:
    by_case = {k.lower(): k for k in known}
    close = difflib.get_close_matches(name.lower(), by_case, n=1)
    return f"Did you mean {by_case[close[0]]!r}?" if close else f"There are: {_listed(known)}."


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_LISTED])
    return f"{shown} and {len(names) - _LISTED} more" if len(names) > _LISTED else shown
