"""Time and resident memory of a benchmark."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import psutil


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Elapsed and CPU time in seconds."""
    start, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - cpu


class Memory:
    """The resident memory of this process, sampled in a thread."""

    def __init__(self) -> None:
        self._samples = [psutil.Process().memory_info().rss]
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def stop(self) -> np.ndarray:
        """The samples in bytes."""
        self._end.set()
        self._thread.join()
        return np.array(self._samples)

    def _sample(self) -> None:
        process = psutil.Process()
        while not self._end.wait(0.2):
            self._samples.append(process.memory_info().rss)
