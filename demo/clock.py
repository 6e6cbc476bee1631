"""A host whose clock is wrong.

Every process of such a host calls `shift` before the OpenTelemetry SDK is imported (the SDK binds `time.time_ns` by name
when it is), so its spans carry times as a machine with a wrong clock takes them. Durations stay right: they come from two
readings of the same clock, as they do there.
"""

from __future__ import annotations

import time


def shift(offset_ns: int) -> None:
    """Sets this process's wall clock `offset_ns` (ns; negative: slow) from the machine's."""
    true_time_ns = time.time_ns

    def wrong_time_ns() -> int:
        return true_time_ns() + offset_ns

    def wrong_time() -> float:
        return wrong_time_ns() / 1e9

    time.time_ns = wrong_time_ns
    time.time = wrong_time
