"""Raw spans: what a span said, in columns that curation can compute on.

Two sources give the same rows: landing batches (`from_landing`), and rows of the curated `spans` table (`from_spans`),
so that a trace can be curated again from the table alone, after its landing files are gone.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from chalkmark.curate import attributes, reasons
from chalkmark.curate.buffers import list_offsets
from chalkmark.curate.columns import array
from chalkmark.curate.senders import per_sender, protocol, read_sender, recode
from chalkmark.tables import TABLES
from chalkmark.tables.landing import TEXT_CODES
from chalkmark.tables.quality import Reason
from chalkmark.tables.spec import SPAN_ID, TEXT_MAP, TRACE_ID

KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
"""Dictionary of the column `kind`; the codes are OTLP's numbers."""

STATUSES = ("unset", "ok", "error")
"""Dictionary of the column `status`; the codes are OTLP's numbers."""

RAW = pa.schema(
    [
        pa.field("trace_id", TRACE_ID, nullable=False),
        pa.field("span_id", SPAN_ID, nullable=False),
        pa.field("parent_span_id", SPAN_ID),
        pa.field("service", TEXT_CODES, nullable=False),
        pa.field("operation", TEXT_CODES, nullable=False),
        pa.field("kind", TEXT_CODES, nullable=False),  # dictionary is always KINDS
        pa.field("host", TEXT_CODES),
        pa.field("instance", TEXT_CODES),
        pa.field("zone", TEXT_CODES),
        pa.field("start_ns", pa.int64(), nullable=False),
        pa.field("end_ns", pa.int64(), nullable=False),
        pa.field("status", TEXT_CODES, nullable=False),  # dictionary is always STATUSES
        pa.field("status_message", pa.string()),
        pa.field("peer_service", TEXT_CODES),
        pa.field("request_bytes", pa.int64()),
        pa.field("response_bytes", pa.int64()),
        pa.field("attributes", TEXT_MAP, nullable=False),
        pa.field("attribute_types", pa.string(), nullable=False),
        pa.field("sender", TEXT_CODES, nullable=False),  # JSON of resource and scope
        pa.field("scope_name", TEXT_CODES, nullable=False),
        pa.field("scope_version", TEXT_CODES, nullable=False),
        pa.field("sdk", TEXT_CODES, nullable=False),
        pa.field("source", TEXT_CODES, nullable=False),
        pa.field("flags", pa.int32(), nullable=False),
        pa.field("trace_state", pa.string()),
        pa.field("quality", pa.int64(), nullable=False),  # one bit a Reason: reasons.bit, reasons.lists
        pa.field("weight", pa.float64(), nullable=False),
        pa.field("received_ns", pa.int64(), nullable=False),
    ]
)
"""Raw spans. Every column is one chunk. A dictionary holds each text once and no null; codes of absent values are null."""

RAW_ANNOTATIONS = pa.schema([field for field in TABLES["annotations"].schema if field.name != "ts"])
"""Rows of `annotations` before it is known when their trace began."""

UNKNOWN_OPERATION = "unknown"
YEAR_2000_NS = 946_684_800 * 10**9
DAY_NS = 86_400 * 10**9

_OWN_REASONS = reasons.bit(
    Reason.ID_NOT_HEX,
    Reason.UTF8_INVALID,
    Reason.SERVICE_MISSING,
    Reason.OPERATION_MISSING,
    Reason.PARENT_ID_MALFORMED,
    Reason.KIND_UNKNOWN,
    Reason.STATUS_UNKNOWN,
    Reason.TIME_IMPLAUSIBLE,
    Reason.VALUE_TOO_DEEP,
    Reason.END_BEFORE_START,
    Reason.DURATION_ABSURD,
)
"""What is wrong with a span seen alone, and so stays when its trace is curated again."""

# Other copies of a span are gone when it is curated again, and identifiers were changed: only these marks tell.
_KEPT_REASONS = _OWN_REASONS | reasons.bit(Reason.DUPLICATE, Reason.DUPLICATE_CONFLICT, Reason.SHARED_ID, Reason.TRACE_ID_MIXED)


def from_landing(batch: pa.Table) -> tuple[pa.Table, pa.Table]:
    """(RAW, RAW_ANNOTATIONS) of received spans (SPAN_BATCH, in any number of chunks, one part's worth: columns hold < 2 GiB).

    Columns that are one chunk are passed on without a copy.
    """
    landed = {name: array(batch[name]) for name in batch.column_names}
    found = attributes.find(landed["attributes"])
    senders, source = landed["sender"], landed["source"]
    kind, odd_kind = _known(landed["kind"], len(KINDS))
    status, odd_status = _known(landed["status"], len(STATUSES))
    operation = landed["operation"].dictionary_encode()
    nameless = operation.dictionary.index("").as_py()
    start, end, received = (landed[name].to_numpy() for name in ("start_ns", "end_ns", "received_ns"))

    quality = reasons.masks(landed["quality"])
    quality |= _quality_of_times(start, end, received)
    quality[odd_kind] |= reasons.bit(Reason.KIND_UNKNOWN)
    quality[odd_status] |= reasons.bit(Reason.STATUS_UNKNOWN)
    quality[operation.indices.to_numpy() == nameless] |= reasons.bit(Reason.OPERATION_MISSING)
    missing = [read_sender(text).service_missing for text in senders.dictionary.to_pylist()]
    quality[np.array(missing, np.bool_)[senders.indices.to_numpy()]] |= reasons.bit(Reason.SERVICE_MISSING)

    columns = landed | {
        "service": per_sender(senders, lambda s: s.service),
        "operation": recode(operation.indices, [text or UNKNOWN_OPERATION for text in operation.dictionary.to_pylist()]),
        "kind": pa.DictionaryArray.from_arrays(kind.astype(np.int32), pa.array(KINDS)),
        "host": per_sender(senders, lambda s: s.host),
        "instance": per_sender(senders, lambda s: s.instance),
        "zone": per_sender(senders, lambda s: s.zone),
        "status": pa.DictionaryArray.from_arrays(status.astype(np.int32), pa.array(STATUSES)),
        "peer_service": attributes.peers(found, kind),
        "request_bytes": attributes.sizes(found, attributes.REQUEST),
        "response_bytes": attributes.sizes(found, attributes.RESPONSE),
        "scope_name": per_sender(senders, lambda s: s.scope_name),
        "scope_version": per_sender(senders, lambda s: s.scope_version),
        "sdk": _sdk(senders, source),
        "quality": quality,
        "weight": attributes.weights(found, landed["trace_state"]),
    }
    raw = pa.Table.from_arrays([columns[name] for name in RAW.names], schema=RAW)
    return raw, _annotations(landed)


def from_spans(spans: pa.Table) -> pa.Table:
    """RAW again from rows of the curated table `spans`; columns that RAW has no use for need not be there.

    What was said about a span in the light of others (PARENT_MISSING, CLOCK_CORRECTED ...) is dropped. DUPLICATE,
    DUPLICATE_CONFLICT, SHARED_ID and TRACE_ID_MIXED stay; identifiers are as the table has them.
    """
    columns = {}
    for field in RAW:
        column = spans[field.name]
        if field.name == "quality":
            columns[field.name] = pa.array(reasons.masks(array(column)) & _KEPT_REASONS)
        elif field.name in ("kind", "status"):
            names = pa.array(KINDS if field.name == "kind" else STATUSES)
            columns[field.name] = pa.DictionaryArray.from_arrays(pc.index_in(array(column.cast(pa.string())), names), names)
        elif field.type == TEXT_CODES and column.type != TEXT_CODES:
            columns[field.name] = array(column.dictionary_encode())
        else:
            columns[field.name] = array(column)
    return pa.Table.from_arrays([columns[name] for name in RAW.names], schema=RAW)


def _known(numbers: pa.Int8Array, count: int) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.bool_]]:
    """OTLP's numbers with those it does not define set to 0, and where that was."""
    values = numbers.to_numpy()
    odd = (values < 0) | (values >= count)
    return np.where(odd, np.int8(0), values), odd


def _quality_of_times(
    start: npt.NDArray[np.int64], end: npt.NDArray[np.int64], received: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    backwards = end < start
    # As unsigned numbers, differences of any two times are exact.
    absurd = ~backwards & (end.view(np.uint64) - start.view(np.uint64) > DAY_NS)
    future = (start > received) & (start.view(np.uint64) - received.view(np.uint64) > DAY_NS)
    return (
        backwards * np.int64(reasons.bit(Reason.END_BEFORE_START))
        | absurd * np.int64(reasons.bit(Reason.DURATION_ABSURD))
        | (future | (start < YEAR_2000_NS)) * np.int64(reasons.bit(Reason.TIME_IMPLAUSIBLE))
    )


def _sdk(senders: pa.DictionaryArray, source: pa.DictionaryArray) -> pa.DictionaryArray:
    """The sender's SDK, or the protocol it came by where it names none."""
    protocols = [protocol(text) for text in source.dictionary.to_pylist()]
    texts = [read_sender(text).sdk or name for text in senders.dictionary.to_pylist() for name in protocols]
    return recode(pa.array(senders.indices.to_numpy() * len(protocols) + source.indices.to_numpy()), texts)


def _annotations(landed: dict[str, pa.Array]) -> pa.Table:
    lists = landed["annotations"]
    offsets = list_offsets(lists)
    rows = pa.array(np.repeat(np.arange(len(lists)), np.diff(offsets)))
    items = lists.values.slice(offsets[0], offsets[-1] - offsets[0])
    columns = {name: landed[name].take(rows) for name in ("trace_id", "span_id")}
    columns |= {name: items.field(name) for name in ("kind", "key", "value", "at_ns")}
    return pa.Table.from_arrays([columns[name] for name in RAW_ANNOTATIONS.names], schema=RAW_ANNOTATIONS)
