"""Metrics are kept while MLflow does not answer, and sent when it does."""

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

from mmae.tracking.offline_buffer import Outbox
from mmae.tracking.runs import Tracker, open_named_run


@dataclass
class Switch:
    """A tracker whose server can be turned off."""

    answers: bool = True
    got: list[tuple[dict, int, int]] = field(default_factory=list)

    def metrics(self, values: dict[str, float], step: int, logged_ms: int) -> None:
        if not self.answers:
            raise MlflowException("connection refused\nand a long story")
        self.got.append((values, step, logged_ms))


@pytest.fixture
def outbox(tmp_path, monkeypatch) -> Outbox:
    monkeypatch.setattr("mmae.tracking.offline_buffer.WAIT_S", 0.0)
    return Outbox(Switch(), tmp_path / "unsent.jsonl")


def steps(outbox: Outbox) -> list[int]:
    return [step for _, step, _ in outbox.tracker.got]


def test_what_can_be_sent_is_sent_at_once(outbox):
    outbox.metrics({"loss": 1.0}, 10)
    assert outbox.tracker.got[0][:2] == ({"loss": 1.0}, 10) and not outbox.file.exists()


def test_nothing_is_lost_and_the_order_is_kept(outbox, capsys):
    outbox.metrics({"loss": 4.0}, 10)
    outbox.tracker.answers = False
    before = time.time() * 1000
    for step in (20, 30, 40):
        outbox.metrics({"loss": 1.0 / step}, step)
    assert steps(outbox) == [10]
    outbox.tracker.answers = True
    outbox.metrics({"loss": 0.02}, 50)
    assert steps(outbox) == [10, 20, 30, 40, 50] and not outbox.file.exists()
    times = [logged for _, _, logged in outbox.tracker.got]
    assert times == sorted(times) and before - 1 <= times[1]  # as of when they were logged
    printed = capsys.readouterr().out
    assert printed.count("does not answer (connection refused)") == 1 and "3 kept sets of metrics are sent" in printed


def test_a_silent_server_is_not_asked_at_every_step(outbox, monkeypatch):
    monkeypatch.setattr("mmae.tracking.offline_buffer.WAIT_S", 3600.0)
    outbox.tracker.answers = False
    outbox.metrics({"loss": 1.0}, 1)
    outbox.tracker.answers = True
    outbox.metrics({"loss": 1.0}, 2)
    assert steps(outbox) == [] and len(outbox.file.read_text().splitlines()) == 2


def test_the_next_process_sends_what_the_dead_one_kept(outbox):
    outbox.tracker.answers = False
    outbox.metrics({"loss": 1.0}, 1)
    with outbox.file.open("a") as file:
        file.write('{"values": {"loss"')  # the process died here
    heir = Outbox(Switch(), outbox.file)
    assert heir.send() and steps(heir) == [1] and heir.send() and steps(heir) == [1]


def test_other_errors_are_not_hidden(outbox):
    outbox.tracker.metrics = lambda *_: 1 / 0
    with pytest.raises(ZeroDivisionError):
        outbox.metrics({"loss": 1.0}, 1)


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


def test_a_real_server_that_dies_and_comes_back_has_every_point_once(tmp_path, monkeypatch):
    monkeypatch.setattr("mmae.tracking.offline_buffer.WAIT_S", 0.0)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = start_server(tmp_path, port)
    try:
        tracker, _ = open_named_run(f"http://127.0.0.1:{port}", "outbox", "run", tmp_path, {})
        outbox = Outbox(Tracker(tracker.uri, tracker.run_id), tmp_path / "unsent.jsonl")
        outbox.metrics({"loss": 3.0}, 1)
        stop(server)
        outbox.metrics({"loss": 2.0}, 2)
        outbox.metrics({"loss": 1.0}, 3)
        assert len(outbox.file.read_text().splitlines()) == 2
        server = start_server(tmp_path, port)
        outbox.metrics({"loss": 0.5}, 4)
        assert tracker.history("loss") == ([1, 2, 3, 4], [3.0, 2.0, 1.0, 0.5])
        assert not outbox.file.exists()
    finally:
        stop(server)
