"""Chalkmark tells a performance engineer where to make the chalk mark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chalkmark.api import Chalkmark, Result, open

__version__ = "0.1.0"
__all__ = ["Chalkmark", "Result", "__version__", "open"]


def __getattr__(name: str) -> Any:
    """The Python API, imported when it is used first: DuckDB and Arrow take longer than all of `chalkmark --help`."""
    if name in __all__:
        from chalkmark import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
