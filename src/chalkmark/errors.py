"""Errors that a user can act on: what is wrong, with which field or file, and what to do."""

from __future__ import annotations


class ChalkmarkError(Exception):
    """Shown as one line, never as a traceback; `hint` is the second line and says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class OverloadedError(ChalkmarkError):
    """There is no room for more data now; receivers turn it into their protocol's back-pressure."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message, f"Send again in {retry_after_s:g} s.")
        self.retry_after_s = retry_after_s
