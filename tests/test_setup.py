"""The scripts behind `make`: what they find, what they refuse, and that they do nothing twice."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ("cat", "cut", "dirname", "id", "mkdir", "rm", "sh", "sha256sum", "touch", "env")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the scripts alone, and a bin/ folder that is all of its PATH."""
    root = tmp_path / "check out"
    (root / "bin").mkdir(parents=True)
    shutil.copytree(ROOT / "scripts", root / "scripts")
    (root / "uv.lock").write_text("lock")
    (root / "pyproject.toml").write_text("project")
    for tool in TOOLS:
        (root / "bin" / tool).symlink_to(str(shutil.which(tool)))
    return root


def _script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def _run(checkout: Path, script: str, *args: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": str(checkout / "bin"), "HOME": os.environ.get("HOME", "/")}
    return subprocess.run([checkout / "scripts" / script, *args], env=env, capture_output=True, text=True, check=False)


def _fake_uv(checkout: Path) -> None:
    _script(
        checkout / "bin" / "uv",
        'case "$1" in sync) mkdir -p .venv/bin; touch .venv/bin/chalkmark; echo run >> runs;; esac\necho "uv $*"\n',
    )


def _python(checkout: Path) -> None:
    _script(checkout / "bin" / "python3", f'exec "{sys.executable}" "$@"\n')


def test_set_up_runs_once_and_again_when_the_lock_changes(checkout: Path) -> None:
    _python(checkout)
    _fake_uv(checkout)
    _script(checkout / ".venv" / "bin" / "chalkmark", "")
    for _ in range(2):
        assert _run(checkout, "setup.sh").returncode == 0
    assert (checkout / "runs").read_text() == "run\n"
    (checkout / "uv.lock").write_text("another lock")
    assert _run(checkout, "setup.sh").returncode == 0
    assert (checkout / "runs").read_text() == "run\nrun\n"


def test_a_set_up_that_fails_is_not_taken_for_done(checkout: Path) -> None:
    _python(checkout)
    _script(checkout / "bin" / "uv", 'test "$1" = --version\n')
    assert _run(checkout, "setup.sh").returncode != 0
    assert _run(checkout, "setup.sh").returncode != 0


def test_without_python_the_packages_are_named(checkout: Path) -> None:
    done = _run(checkout, "uv.sh", "sync")
    assert done.returncode == 1
    assert "apt-get install python3 python3-venv" in done.stderr


def test_an_old_python_is_passed_over(checkout: Path) -> None:
    _script(checkout / "bin" / "python3", "exit 1\n")
    _script(checkout / "bin" / "python3.12", f'exec "{sys.executable}" "$@"\n')
    _script(checkout / "bin" / "uv", 'echo "$UV_PYTHON"\n')
    assert _run(checkout, "uv.sh", "sync").stdout.strip() == str(checkout / "bin" / "python3.12")


def test_without_the_venv_module_the_package_is_named(checkout: Path) -> None:
    _script(checkout / "bin" / "python3", f'test "$1" != -m && exec "{sys.executable}" "$@"\n')
    (checkout / "bin" / "id").unlink()
    _script(checkout / "bin" / "id", "echo 1000\n")
    done = _run(checkout, "uv.sh", "sync")
    assert done.returncode == 1
    assert f"apt-get install python{sys.version_info.major}.{sys.version_info.minor}-venv" in done.stderr
