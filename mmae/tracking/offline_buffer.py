"""Buffer for MLflow metrics, so that training continues while the tracking server does not respond.

Metrics that cannot be sent are appended to a file of the run, one JSON line per call, and sent before later metrics.
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
WAIT_S = 30.0  # minimum time between attempts: a failed attempt takes as long as the timeouts of the client


@dataclass
class OfflineBuffer:
    """Sends the metrics of one run to MLflow, or stores them until the server responds.

    Attributes:
        file: unsent metrics; it remains when the process ends.
        next_attempt: time.monotonic() of the next attempt after a failure; 0 if the last attempt succeeded.
    """

    tracker: Tracker
    file: Path
    next_attempt: float = 0.0

    @property
    def is_down(self) -> bool:
        """Whether the last attempt failed."""
        return self.next_attempt > 0.0

    def metrics(self, values: dict[str, float], step: int) -> None:
        """Log metrics, or store them if the server does not respond (without raising an exception)."""
        logged_ms = int(time.time() * 1000)
        if time.monotonic() >= self.next_attempt and self.send():
            try:
                self.tracker.metrics(values, step, logged_ms)
                return
            except MlflowException as error:
                self._failed(error)
        self._store({"values": values, "step": step, "time": logged_ms})

    def send(self) -> bool:
        """Send the stored metrics; True if none are left."""
        if not self.file.exists():
            return True
        entries = [json.loads(line) for line in self.file.read_text().splitlines() if _is_complete(line)]
        try:
            for entry in entries:
                self.tracker.metrics(entry["values"], entry["step"], entry["time"])
        except MlflowException as error:
            # Keep all entries: MLflow accepts a metric of the same step and time twice.
            self._failed(error)
            return False
        self.file.unlink()
        self.next_attempt = 0.0
        print(f"MLflow responds again: sent {len(entries)} stored sets of metrics.", flush=True)
        return True

    def _failed(self, error: MlflowException) -> None:
        if not self.is_down:
            reason = str(error.message).splitlines()[0]
            print(f"MLflow does not respond ({reason}). Training continues, metrics go to {self.file}.", flush=True)
        self.next_attempt = time.monotonic() + WAIT_S

    def _store(self, entry: dict) -> None:
        with self.file.open("a") as file:
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _is_complete(line: str) -> bool:
    """Whether the line is valid JSON: a process that dies while writing leaves at most one incomplete line."""
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
