import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

from chalkmark.cli import main
from chalkmark.errors import ChalkmarkError

HEAVY = ("duckdb", "grpc", "numba", "numpy", "pyarrow", "pyiceberg", "rich", "starlette", "uvicorn")


def _commands() -> list[tuple[str, click.Command]]:
    found = []
    for name, (module, _) in main.VERBS.items():
        command = import_module(module).command
        found.append((name, command))
        if isinstance(command, click.Group):
            found += [(f"{name} {child}", below) for child, below in command.commands.items()]
    return found


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom chalkmark.cli.main import run\nassert run(['--help']) == 0\n"
        f"heavy = [m for m in {HEAVY!r} if m in sys.modules]\nassert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name, (_, line) in main.VERBS.items():
        assert f"{name} " in done.stdout
        assert line in done.stdout


def test_a_query_imports_neither_the_committer_nor_the_compiler() -> None:
    code = (
        "import sys\nfrom chalkmark.cli.main import run\nassert run(['sql', 'select 1']) == 0\n"
        "heavy = [m for m in ('grpc', 'numba', 'pyiceberg', 'pandas', 'rich.progress', 'starlette') if m in sys.modules]\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_verb_exists_says_the_same_of_itself_and_has_examples() -> None:
    for name, command in _commands():
        assert command.help is not None, name
        assert "Examples:" in command.help, name
        assert f"chalkmark {name}" in command.help, name
        if name in main.VERBS:
            assert command.short_help == main.VERBS[name][1], name


def test_every_verb_that_has_a_result_has_every_format() -> None:
    from chalkmark.cli.options import FORMATS

    for name, command in _commands():
        options = {o.name: o for o in command.params}
        if name == "up" or isinstance(command, click.Group):
            continue
        assert "format" in options, name
        assert tuple(options["format"].type.choices) == FORMATS, name  # type: ignore[attr-defined]
        assert "output" in options, name


def test_no_command_shows_the_help_and_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([]) == 2
    assert "Commands:" in capsys.readouterr().out


def test_an_unknown_command_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["tabels"]) == 2
    assert "Did you mean 'tables'?" in capsys.readouterr().err


def test_an_unknown_option_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["sql", "select 1", "--formt", "json"]) == 2
    assert "--format" in capsys.readouterr().err


def test_an_error_is_two_lines_on_stderr(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main.run(["sql", "--data", str(tmp_path), "select * from span"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == ["chalkmark: There is no table 'span'.", "  Did you mean spans?"]


@pytest.mark.parametrize(
    ("raised", "code"),
    [(KeyboardInterrupt(), 130), (click.Abort(), 130), (ChalkmarkError("a", "b"), 2), (click.UsageError("a"), 2)],
)
def test_every_kind_of_failure_has_its_code(monkeypatch: pytest.MonkeyPatch, raised: BaseException, code: int) -> None:
    def fail(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(main.command, "invoke", fail)
    assert main.run(["sql"]) == code


def test_what_a_verb_returns_is_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main.command, "invoke", lambda *_: 1)
    assert main.run(["sql"]) == 1


def test_a_reader_that_stops_early_is_no_error(tmp_path: Path) -> None:
    chalkmark = f"{sys.executable} -c 'from chalkmark.cli.main import main; main()'"
    query = "select * from range(300000)"
    done = subprocess.run(
        ["bash", "-c", f'set -o pipefail; {chalkmark} sql --data {tmp_path} --format csv "{query}" | head -1'],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "range\n", "")
