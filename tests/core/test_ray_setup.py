"""Addresses, folders and the token of Ray, before it is started."""

from __future__ import annotations

import logging
import os
import socket
import time

import pytest

from mmae.core import ray_setup
from mmae.core.errors import InputError
from mmae.core.ray_setup import (
    SHORT_FOLDER,
    SOCKET,
    SOCKET_BYTES,
    WORKER_ENV,
    _check_token,
    _cluster,
    _is_unexplained,
    _require_reachable,
    _shorten_temporary_folder,
    start_ray,
    token_file,
)


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch, tmp_path):
    """No address of a cluster in the environment or in Ray's folder."""
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_dead_cluster_is_reported_within_seconds(monkeypatch, closed_port):
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{closed_port}")
    monkeypatch.setattr(ray_setup.ray, "is_initialized", lambda: False)
    started = time.monotonic()
    with pytest.raises(InputError, match=rf"127\.0\.0\.1:{closed_port}.*RAY_ADDRESS"):
        start_ray()
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("http://127.0.0.1:8265", "RAY_API_SERVER_ADDRESS"),
        ("head", "HOST:PORT"),
        ("head:port", "HOST:PORT"),
        ("127.0.0.1:99999", "127.0.0.1:99999"),
        ("ray://127.0.0.1:1", "ray://127.0.0.1:1"),
    ],
)
def test_wrong_addresses_are_refused(monkeypatch, address, named):
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(InputError) as caught:
        _require_reachable(_cluster())
    assert address in str(caught.value) and named in str(caught.value)


def test_the_file_of_an_ended_cluster_is_named(tmp_path, closed_port):
    file = tmp_path / "ray" / "ray_current_cluster"
    file.parent.mkdir()
    file.write_text(f"127.0.0.1:{closed_port}")
    assert _cluster() == f"127.0.0.1:{closed_port}"
    with pytest.raises(InputError) as caught:
        _require_reachable(_cluster())
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("address", ["", "auto", "local"])
def test_without_a_running_cluster_there_is_no_address(monkeypatch, address):
    monkeypatch.setenv("RAY_ADDRESS", address)
    assert _cluster() == ""


def test_a_server_that_listens_is_reachable():
    with socket.create_server(("127.0.0.1", 0)) as server:
        _require_reachable(f"127.0.0.1:{server.getsockname()[1]}")


@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
def test_a_long_temporary_folder_is_replaced(monkeypatch, capsys, variable):
    room = SOCKET_BYTES - len(SOCKET) - len("/ray/")
    for length in (room, room + 1):
        monkeypatch.delenv("RAY_TMPDIR", raising=False)
        monkeypatch.setenv("TMPDIR", SHORT_FOLDER)
        monkeypatch.setenv(variable, "/" + "x" * (length - 1))
        _shorten_temporary_folder()
        assert (len(os.environ[variable]) == length) == (length == room)
    assert len(f"{os.environ['RAY_TMPDIR']}/ray/{SOCKET}") <= SOCKET_BYTES and os.environ["TMPDIR"] == SHORT_FOLDER
    assert capsys.readouterr().out.count("\n") == 1


def test_without_a_short_folder_the_variable_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_TMPDIR", "/" + "x" * 100)
    monkeypatch.setattr(ray_setup, "SHORT_FOLDER", str(tmp_path / "absent"))
    with pytest.raises(InputError, match="RAY_TMPDIR"):
        _shorten_temporary_folder()


def test_a_token_that_others_can_read_gives_one_line(tmp_path, capsys):
    token = tmp_path / "auth_token"
    _check_token(token, is_new=False)  # absent
    token.write_text("secret")
    for mode, lines in ((0o600, 0), (0o400, 0), (0o644, 1), (0o640, 1)):
        token.chmod(mode)
        _check_token(token, is_new=False)
        err = capsys.readouterr().err
        assert err.count("\n") == lines and "secret" not in err
        if lines:
            assert f"{mode:o}" in err and f"chmod 600 {token}" in err
        assert token.stat().st_mode & 0o777 == mode


def test_a_token_that_is_not_used_gives_no_warning(tmp_path, capsys, monkeypatch):
    token = tmp_path / "auth_token"
    token.write_text("secret")
    token.chmod(0o644)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    _check_token(token, is_new=False)
    assert capsys.readouterr().err == ""


def test_a_new_token_is_made_readable_by_its_owner_only(tmp_path, capsys):
    token = tmp_path / "auth_token"
    token.write_text("secret")
    token.chmod(0o644)
    _check_token(token, is_new=True)
    assert token.stat().st_mode & 0o777 == 0o600 and capsys.readouterr().err == ""


def test_place_of_the_token(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert token_file() == tmp_path / ".ray" / "auth_token"
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "~/mine")
    assert token_file() == tmp_path / "mine"


def test_tracebacks_of_explained_errors_are_not_logged():
    def shown(message: str, error: Exception | None = None) -> bool:
        return _is_unexplained(logging.LogRecord("ray", logging.ERROR, "", 0, message, (), (None, error, None)))

    assert shown("KeyError: 3") and shown("failed", KeyError(3))
    assert not shown("Traceback ...\nmmae.core.errors.InputError: file.fits: row 3")
    assert not shown("Traceback ...\nOSError: [Errno 28] No space left on device")
    assert not shown("failed", InputError("file.fits: row 3"))


def test_metrics_of_ray_train_are_off():
    """They accept ASCII names of runs only."""
    assert WORKER_ENV["RAY_TRAIN_METRICS_ENABLED"] == "0"
