"""Metrics are stored while MLflow does not respond, and sent afterwards."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from mmae.tracking.offline_buffer import OfflineBuffer
from mmae.tracking.runs import Tracker, open_named_run


@dataclass
class Switch:
    """A tracker with a server that can be switched off."""

    responds: bool = True
    received: list[tuple[dict, int, int]] = field(default_factory=list)

    def metrics(self, values: dict[str, float], step: int, logged_ms: int) -> None:
        if not self.responds:
            raise MlflowException("connection refused\nand more lines")
        self.received.append((values, step, logged_ms))


@pytest.fixture
def buffer(tmp_path, monkeypatch) -> OfflineBuffer:
    monkeypatch.setattr("mmae.tracking.offline_buffer.WAIT_S", 0.0)
    return OfflineBuffer(Switch(), tmp_path / "unsent.jsonl")


def steps(buffer: OfflineBuffer) -> list[int]:
    return [step for _, step, _ in buffer.tracker.received]


def test_metrics_are_sent_immediately_if_the_server_responds(buffer):
    buffer.metrics({"loss": 1.0}, 10)
    assert buffer.tracker.received[0][:2] == ({"loss": 1.0}, 10) and not buffer.file.exists()


def test_stored_metrics_are_sent_in_order_with_their_times(buffer, capsys):
    buffer.metrics({"loss": 4.0}, 10)
    buffer.tracker.responds = False
    before = time.time() * 1000
    for step in (20, 30, 40):
        buffer.metrics({"loss": 1.0 / step}, step)
    assert steps(buffer) == [10]
    buffer.tracker.responds = True
    buffer.metrics({"loss": 0.02}, 50)
    assert steps(buffer) == [10, 20, 30, 40, 50] and not buffer.file.exists()
    times = [logged for _, _, logged in buffer.tracker.received]
    assert times == sorted(times) and before - 1 <= times[1]  # time of logging, not of sending
    printed = capsys.readouterr().out
    reported, sent = printed.splitlines()  # one message per outage and one afterwards
    assert "(connection refused)" in reported and str(buffer.file) in reported and " 3 " in sent


def test_no_attempts_during_the_waiting_time_after_a_failure(buffer, monkeypatch):
    monkeypatch.setattr("mmae.tracking.offline_buffer.WAIT_S", 3600.0)
    buffer.tracker.responds = False
    buffer.metrics({"loss": 1.0}, 1)
    buffer.tracker.responds = True
    buffer.metrics({"loss": 1.0}, 2)
    assert steps(buffer) == [] and len(buffer.file.read_text().splitlines()) == 2


def test_next_process_sends_stored_metrics_and_skips_an_incomplete_line(buffer):
    buffer.tracker.responds = False
    buffer.metrics({"loss": 1.0}, 1)
    with buffer.file.open("a") as file:
        file.write('{"values": {"loss"')  # the process died here
    successor = OfflineBuffer(Switch(), buffer.file)
    assert successor.send() and steps(successor) == [1] and successor.send() and steps(successor) == [1]


def test_other_exceptions_are_raised(buffer):
    buffer.tracker.metrics = lambda *_: 1 / 0
    with pytest.raises(ZeroDivisionError):
        buffer.metrics({"loss": 1.0}, 1)


def start_server(folder: Path, port: int) -> subprocess.Popen:
    server = subprocess.Popen(
        [
            Path(sys.executable).parent / "mlflow",
            "server",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--workers",
            "1",
            "--backend-store-uri",
            f"sqlite:///{folder}/mlflow.db",
            "--artifacts-destination",
            str(folder / "artifacts"),
        ],
        env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},  # further processes, which nothing here uses
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    for _ in range(240):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)
            return server
        except OSError:
            time.sleep(0.5)
    stop(server)
    raise AssertionError("the MLflow server did not start")


def stop(server: subprocess.Popen) -> None:
    os.killpg(server.pid, 9)
    server.wait()


@pytest.mark.long
def test_restarted_server_has_all_points_once(tmp_path, monkeypatch):
    monkeypatch.setattr("mmae.tracking.offline_buffer.WAIT_S", 0.0)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = start_server(tmp_path, port)
    try:
        tracker, _ = open_named_run(f"http://127.0.0.1:{port}", "buffer", "run", tmp_path, {})
        buffer = OfflineBuffer(Tracker(tracker.uri, tracker.run_id), tmp_path / "unsent.jsonl")
        buffer.metrics({"loss": 3.0}, 1)
        stop(server)
        buffer.metrics({"loss": 2.0}, 2)
        buffer.metrics({"loss": 1.0}, 3)
        assert len(buffer.file.read_text().splitlines()) == 2
        server = start_server(tmp_path, port)
        buffer.metrics({"loss": 0.5}, 4)
        assert tracker.history("loss") == ([1, 2, 3, 4], [3.0, 2.0, 1.0, 0.5])
        assert not buffer.file.exists()
    finally:
        stop(server)
