"""Metrics that reach MLflow sooner or later: training goes on while its server does not answer.

What cannot be sent is kept in a file of the run, one JSON line a call, and goes out before the next metrics that can.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from mlflow.exceptions import MlflowException

from mmae.tracking.runs import Tracker

UNSENT = "unsent_metrics.jsonl"
WAIT_S = 30.0  # between two attempts: each may take as long as the client's timeouts


@dataclass
class Outbox:
    """The metrics of one run on their way to MLflow.

    Attributes:
        file: where unsent metrics are kept; it survives the process.
        next_attempt: no earlier than this (time.monotonic), after a failed one.
    """

    tracker: Tracker
    file: Path
    next_attempt: float = 0.0

    def metrics(self, values: dict[str, float], step: int) -> None:
        """Log, or keep for later. Never raises for a server that does not answer."""
        logged_ms = int(time.time() * 1000)
        if time.monotonic() >= self.next_attempt and self.send():
            try:
                self.tracker.metrics(values, step, logged_ms)
                return
            except MlflowException as error:
                self._failed(error)
        self._keep({"values": values, "step": step, "time": logged_ms})

    def send(self) -> bool:
        """Send what is kept; is nothing left?"""
        if not self.file.exists():
            return True
        entries = [json.loads(line) for line in self.file.read_text().splitlines() if _whole(line)]
        try:
            for entry in entries:
                self.tracker.metrics(entry["values"], entry["step"], entry["time"])
        except MlflowException as error:
            # All stay: MLflow takes a metric of the same step and time twice without harm.
            self._failed(error)
            return False
        self.file.unlink()
        self.next_attempt = 0.0
        print(f"MLflow answers again: {len(entries)} kept sets of metrics are sent.", flush=True)
        return True

    def _failed(self, error: MlflowException) -> None:
        if self.next_attempt == 0.0:
            reason = str(error.message).splitlines()[0]
            print(f"MLflow does not answer ({reason}). Training goes on; metrics are kept in {self.file}.", flush=True)
        self.next_attempt = time.monotonic() + WAIT_S

    def _keep(self, entry: dict) -> None:
        with self.file.open("a") as kept:
            kept.write(json.dumps(entry) + "\n")
            kept.flush()
            os.fsync(kept.fileno())


def _whole(line: str) -> bool:
    """A process that died while it wrote leaves half a line, at most one."""
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
