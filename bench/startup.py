"""How long a command takes from the shell: python -m bench.startup [--json FILE]

The floor is the interpreter that does nothing, in the same run.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.harness import Case, run

CHALKMARK = str(Path(sys.executable).with_name("chalkmark"))


def main() -> None:
    with tempfile.TemporaryDirectory() as empty:
        lines = {
            "floor: python -c pass": [sys.executable, "-c", "pass"],
            "chalkmark --help": [CHALKMARK, "--help"],
            "chalkmark sql 'select 1'": [CHALKMARK, "sql", "select 1", "--data", empty],
            "chalkmark tables": [CHALKMARK, "tables", "--data", empty],
        }
        run("startup", [Case(name, _runs(line), unit="commands", runs=9) for name, line in lines.items()], argv=sys.argv[1:])


def _runs(line: list[str]) -> Callable[[], object]:
    return lambda: subprocess.run(line, check=True, capture_output=True)


if __name__ == "__main__":
    main()
