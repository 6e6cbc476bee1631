"""The wheel holds what an installed `chalkmark` needs, and nothing else."""

import os
import shutil
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

import chalkmark

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([ROOT / "scripts" / "uv.sh", "build", "--wheel", "--quiet", "--out-dir", folder], check=True)
    return next(folder.glob("*.whl"))


def test_everything_in_the_source_is_in_the_wheel(wheel: Path) -> None:
    source = ROOT / "src"
    wanted = {
        str(p.relative_to(source))
        for p in source.rglob("*")
        if p.is_file() and "__pycache__" not in p.parts and p.suffix not in (".pyc", ".nbi", ".nbc")
    }
    held = {n for n in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in n}
    assert held == wanted
    assert any(n.endswith(".sql") for n in held)


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    assert wheel.name == f"chalkmark-{chalkmark.__version__}-py3-none-any.whl"
    archive = zipfile.ZipFile(wheel)
    about = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
    metadata = HeaderParser().parsestr(archive.read(about).decode())
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert any(n.endswith(".dist-info/licenses/LICENSE") for n in archive.namelist())
    entry = next(n for n in archive.namelist() if n.endswith("entry_points.txt"))
    assert "chalkmark = chalkmark.cli.main:main" in archive.read(entry).decode()


@pytest.mark.skipif(not os.environ.get("TEST_INSTALL"), reason="slow: set TEST_INSTALL=1 to install the wheel")
def test_the_installed_wheel_works(wheel: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    binaries = tmp_path / "venv" / "bin"
    subprocess.run([binaries / "python", "-m", "pip", "install", "--quiet", wheel], check=True)
    done = subprocess.run(
        [binaries / "chalkmark", "sql", "--data", tmp_path / "lake", "--format", "csv", "select 1 as one"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert done.stdout == "one\n1\n"
    shutil.rmtree(tmp_path / "venv")
