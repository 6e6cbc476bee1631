"""The column `resource` of `spans`: computed from `sender`, whose few texts it would otherwise repeat in every row.

Stored as a map it took a quarter of the time and memory of writing spans, and no more can be asked of it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import orjson
import pyarrow as pa

from chalkmark.tables.spec import TEXT_MAP


def resource_map(senders: pa.Array) -> pa.MapArray:
    """The resource attributes of each row's sender (text, or codes of texts); a null sender has a null map."""
    if not pa.types.is_dictionary(senders.type):
        senders = senders.dictionary_encode()
    return pa.array([_resource(text) for text in senders.dictionary.to_pylist()], TEXT_MAP).take(senders.indices)


@lru_cache(maxsize=1 << 14)
def _resource(text: str) -> tuple[tuple[str, str], ...]:
    return tuple((key, attribute_text(value)) for key, value in orjson.loads(text or "{}").get("resource", {}).items())


def attribute_text(value: Any) -> str:
    """An attribute's value as in the `attributes` columns: strings as they are, everything else as JSON."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
