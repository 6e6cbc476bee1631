"""Processes that live and die together."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import children
from chalkmark.engine import supervisor
from chalkmark.engine.supervisor import Child, supervise
from chalkmark.errors import ChalkmarkError


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    made = [tmp_path / "first", tmp_path / "second"]
    for folder in made:
        folder.mkdir()
    return made


def running(kept: Sequence[Child], meanwhile: Callable[[dict[str, Any]], None]) -> None:
    """Supervise while `meanwhile` runs on a thread of its own, given what the children said."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def act(said: dict[str, Any]) -> None:
        try:
            meanwhile(said)
        except BaseException as failure:
            failures.append(failure)
        finally:
            stop.set()

    supervise(kept, stop, lambda said: threading.Thread(target=act, args=(said,)).start(), log_level=logging.ERROR)
    if failures:
        raise failures[0]


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_children_say_they_are_ready_and_stop_in_their_order(folders: list[Path]) -> None:
    kept = [Child("a", children.note, folders[0]), Child("b", children.note, folders[1])]
    seen: list[dict[str, Any]] = []
    running(kept, seen.append)
    assert set(seen[0]) == {"a", "b"}
    first, second = (int((folder / "stopped").read_text()) for folder in folders)
    assert first < second


def test_a_child_that_is_killed_starts_again(folders: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_RESTART_S", 0.05)

    def kill(said: dict[str, Any]) -> None:
        os.kill(said["a"], signal.SIGKILL)
        until(lambda: len(list(folders[0].glob("started-*"))) == 2)

    running([Child("a", children.note, folders[0])], kill)
    assert (folders[0] / "stopped").exists()


def test_why_a_child_cannot_start_is_told_and_the_others_stop(folders: list[Path]) -> None:
    kept = [Child("bad", children.refuse, "the port is taken"), Child("good", children.note, folders[0])]
    with pytest.raises(ChalkmarkError, match="the port is taken") as raised:
        running(kept, lambda said: None)
    assert raised.value.hint == "Mend it."
    assert multiprocessing.active_children() == []


def test_a_child_that_vanishes_before_it_is_ready_is_an_error() -> None:
    with pytest.raises(ChalkmarkError, match="ended with code 7 before it was ready"):
        running([Child("gone", children.vanish, 7)], lambda said: None)
