"""Where third-party data lies: beside the checkout, too large and too differently licensed to be part of it."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def shared_data(name: str) -> Path:
    """The folder or file `name` of the third-party data; the test is skipped where that data is absent."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"third-party data {name!r} is not beside this checkout")
    return path
