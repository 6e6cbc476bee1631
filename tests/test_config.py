from pathlib import Path

import pytest

from chalkmark import config
from chalkmark.errors import ChalkmarkError


def test_without_anything_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    chosen = config.load(env={}, folder=tmp_path)
    assert chosen.data == tmp_path / "share" / "chalkmark"
    assert (chosen.otlp_grpc_port, chosen.otlp_http_port, chosen.zipkin_port) == (4317, 4318, 9411)


def test_flags_win_over_environment_over_file(tmp_path: Path) -> None:
    (tmp_path / "chalkmark.toml").write_text("otlp_grpc_port = 1\notlp_http_port = 1\nzipkin_port = 1\n")
    env = {"CHALKMARK_OTLP_GRPC_PORT": "2", "CHALKMARK_OTLP_HTTP_PORT": "2"}
    chosen = config.load({"otlp_grpc_port": 3, "otlp_http_port": None}, env=env, folder=tmp_path)
    assert (chosen.otlp_grpc_port, chosen.otlp_http_port, chosen.zipkin_port) == (3, 2, 1)


def test_the_current_folder_comes_before_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = tmp_path / "config" / "chalkmark"
    user.mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (user / "chalkmark.toml").write_text("sql_threads = 1")
    assert config.load(env={}, folder=tmp_path).sql_threads == 1
    (tmp_path / "chalkmark.toml").write_text("sql_threads = 2")
    assert config.load(env={}, folder=tmp_path).sql_threads == 2


def test_a_named_file_comes_before_both(tmp_path: Path) -> None:
    (tmp_path / "chalkmark.toml").write_text("sql_threads = 2")
    named = tmp_path / "other.toml"
    named.write_text("sql_threads = 3")
    assert config.load(env={"CHALKMARK_CONFIG": str(named)}, folder=tmp_path).sql_threads == 3
    with pytest.raises(ChalkmarkError, match="CHALKMARK_CONFIG"):
        config.load(env={"CHALKMARK_CONFIG": str(tmp_path / "absent")}, folder=tmp_path)


def test_a_relative_folder_in_a_file_is_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "chalkmark.toml").write_text('data = "lake"')
    assert config.load(env={}, folder=tmp_path).data == tmp_path / "lake"


def test_an_unknown_key_is_named_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "chalkmark.toml").write_text("retention_day = 3")
    with pytest.raises(ChalkmarkError, match="'retention_day'") as raised:
        config.load(env={}, folder=tmp_path)
    assert "'retention_days'" in raised.value.hint
    assert "chalkmark.toml" in str(raised.value)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ('otlp_grpc_port = "4317"', "a whole number"),
        ("otlp_grpc_port = 4317.5", "a whole number"),
        ("otlp_grpc_port = true", "a whole number"),
        ("otlp_grpc_port = 65536", "from 0 to 65535"),
        ("sql_threads = -1", "0 or more"),
        ("quiet_s = nan", "a number"),
        ("host = 1", "a text"),
        ("data = 1", "a path"),
    ],
)
def test_a_wrong_value_names_the_key_and_what_it_has_to_be(tmp_path: Path, line: str, wanted: str) -> None:
    (tmp_path / "chalkmark.toml").write_text(line)
    with pytest.raises(ChalkmarkError, match=line.split()[0]) as raised:
        config.load(env={}, folder=tmp_path)
    assert wanted in raised.value.hint


def test_a_wrong_variable_is_named(tmp_path: Path) -> None:
    with pytest.raises(ChalkmarkError, match="CHALKMARK_SQL_THREADS is 'many'"):
        config.load(env={"CHALKMARK_SQL_THREADS": "many"}, folder=tmp_path)


def test_broken_toml_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "chalkmark.toml").write_text("data = ")
    with pytest.raises(ChalkmarkError, match=r"chalkmark\.toml"):
        config.load(env={}, folder=tmp_path)


def test_variables_that_set_nothing_are_found_with_the_nearest_name() -> None:
    env = {"CHALKMARK_RETENTION_DAY": "1", "CHALKMARK_DATA": "/", "CHALKMARK_CONFIG": "x", "HOME": "/"}
    assert config.unknown_variables(env) == {"CHALKMARK_RETENTION_DAY": "CHALKMARK_RETENTION_DAYS"}
