import json
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from chalkmark import config
from chalkmark.cli.checks import Finding, run_checks
from chalkmark.cli.main import run


@pytest.fixture
def settings(tmp_path: Path) -> config.Settings:
    return replace(
        config.load(env={}, folder=tmp_path), data=tmp_path / "lake", otlp_grpc_port=0, otlp_http_port=0, zipkin_port=0
    )


def _found(settings: config.Settings, check: str) -> Finding:
    return next(f for f in run_checks(settings) if f.check == check)


def test_a_sound_machine_has_no_failures(settings: config.Settings) -> None:
    assert [f for f in run_checks(settings) if f.state == "fail"] == []
    assert not settings.data.exists()  # looking changes nothing


def test_what_is_not_ok_says_how_to_mend_it(settings: config.Settings) -> None:
    assert all(f.mend for f in run_checks(settings) if f.state != "ok")


def test_a_port_that_is_taken_names_the_process(settings: config.Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        taken = _found(replace(settings, zipkin_port=port), f"port {port}")
    assert taken.state == "warn"
    assert f"pid {os.getpid()}" in taken.found
    assert "CHALKMARK_ZIPKIN_PORT" in taken.mend


def test_an_address_of_another_machine_fails(settings: config.Settings) -> None:
    assert _found(replace(settings, host="192.0.2.1", zipkin_port=65001), "port 65001").state == "fail"


def test_a_data_folder_that_is_a_file_fails(settings: config.Settings) -> None:
    settings.data.write_text("")
    assert _found(settings, "data folder").state == "fail"


def test_a_variable_that_sets_nothing_is_a_warning(settings: config.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHALKMARK_DATE", "/tmp")
    found = _found(settings, "environment")
    assert found.state == "warn"
    assert "CHALKMARK_DATA" in found.mend


def test_a_failure_is_exit_code_1(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for port in ("OTLP_GRPC", "OTLP_HTTP", "ZIPKIN"):
        monkeypatch.setenv(f"CHALKMARK_{port}_PORT", "0")
    assert run(["doctor", "--data", str(tmp_path), "--format", "json"]) == 0
    assert {"check", "state", "found", "mend"} == set(json.loads(capsys.readouterr().out)[0])
    monkeypatch.setenv("CHALKMARK_DATA", str(tmp_path / "file"))
    (tmp_path / "file").write_text("")
    assert run(["doctor"]) == 1
