"""Ray Train with Ctrl-C as an ordinary KeyboardInterrupt."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import Any

import ray
from ray.exceptions import RayActorError
from ray.train import Result
from ray.train.torch import TorchTrainer


class InterruptibleTrainer(TorchTrainer):
    """Ctrl-C ends the workers and raises KeyboardInterrupt; with Ray's own handler the process ends silently."""

    def fit(self) -> Result:
        if threading.current_thread() is not threading.main_thread():
            return super().fit()
        before = signal.getsignal(signal.SIGINT)
        try:
            return super().fit()
        finally:
            signal.signal(signal.SIGINT, before)

    def _register_sigint_handler(self, controller: Any) -> None:
        def stop(signum: int, frame: object) -> None:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a second Ctrl-C does not wait for the workers
            with contextlib.suppress(RayActorError):
                ray.get(controller.abort.remote())
            raise KeyboardInterrupt

        signal.signal(signal.SIGINT, stop)
