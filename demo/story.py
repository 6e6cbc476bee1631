"""What the demo shows of its own traces, by commands that anybody can run again."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from demo.processes import DemoError

CHALKMARK = Path(sys.executable).with_name("chalkmark")
QUERY_TIMEOUT_S = 60.0

CALLS_PER_PAGE = """\
with path as (select * from call_paths where root_service = 'frontend' and not partial),
page as (select root_operation, sum(calls) as page_calls from path where depth = 0 group by all)
select root_operation as page, service, operation, sum(calls) as calls, round(sum(calls) / page_calls, 2) as calls_a_page
from path join page using (root_operation) where depth > 0
group by root_operation, service, operation, page_calls order by page, calls_a_page desc"""

CLOCKS = """\
select host, zone, count(*) as spans, round(avg(start_ns - adj_start_ns) / 1e6, 1) as fast_by_ms
from spans where host is not null group by all order by abs(fast_by_ms) desc, host"""

BAD_DATA = """\
select service, reason, count(*) as spans, 'kept' as and_was
from (select service, unnest(quality) as reason from spans) group by all
union all
select service, reason, sum(spans), 'refused' from rejections group by all
order by service, spans desc, reason"""

STORY: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Who calls checkout, whom does it call, how often per call?", ("deps", "checkout")),
    ("How often is each service called to serve one page?", ("sql", CALLS_PER_PAGE)),
    ("Whose clock is wrong?", ("sql", CLOCKS)),
    ("Which data is bad, and who sends it?", ("sql", BAD_DATA)),
)
"""Questions and the arguments of the commands that answer them; shown with their answers."""

MORE: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Which pages cause the load on pricing, along which paths?", ("report", "run", "load/causes", "--service", "pricing")),
    ("What does each page cost the services behind it?", ("report", "run", "cost/endpoints", "--service", "frontend")),
    ("All about the bad data, with example traces", ("report", "run", "quality/by_sender")),
    ("What else is there to ask?", ("report", "list")),
    ("What is in the tables?", ("tables",)),
)
"""More to try; only the commands are shown."""


def command(data: Path, *arguments: str) -> list[str]:
    """The command line of `chalkmark` for these tables."""
    return [str(CHALKMARK), *arguments, "--data", str(data)]


def shown(line: list[str]) -> str:
    """A command line as one types it, from the current folder where that is shorter."""
    program = Path(line[0])
    if program.is_relative_to(Path.cwd()):
        program = program.relative_to(Path.cwd())
    return " ".join(map(_quoted, [str(program), *line[1:]]))


def ask(data: Path, *arguments: str) -> str:
    """What `chalkmark` answers. Raises DemoError with its own words if it fails."""
    done = subprocess.run(command(data, *arguments), capture_output=True, text=True, timeout=QUERY_TIMEOUT_S, check=False)
    if done.returncode != 0:
        raise DemoError(f"{shown(command(data, *arguments))}\nended with exit code {done.returncode}:\n{done.stderr.strip()}")
    return done.stdout


def rows(data: Path, query: str) -> list[dict[str, Any]]:
    """The result of an SQL query."""
    found: list[dict[str, Any]] = json.loads(ask(data, "sql", query, "--format", "json"))
    return found


def _quoted(word: str) -> str:
    """As for a shell; SQL has apostrophes, so it reads best in double quotes where nothing in it is special there."""
    return f'"{word}"' if "'" in word and not set(word) & set('"$`\\!') else shlex.quote(word)
