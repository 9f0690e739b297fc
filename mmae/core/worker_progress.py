"""Progress bars of Ray's workers, which the driver shows.

A worker prints the state of its bar as a line that Ray forwards to the driver (`ray.experimental.tqdm_ray`). Ray's own
display writes numbers such as 4.00/1.20k, the process id in front, and into a log file every state twice.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterable, Iterator, Sized
from typing import Any, TypeVar

import ray
from ray._private.worker import global_worker
from ray.experimental import tqdm_ray

from mmae.core.progress import ProgressBar

Batch = TypeVar("Batch", bound=Sized)


class WorkerBar(tqdm_ray.tqdm):
    """A progress bar of a task or actor of Ray.

    Attributes:
        note: text behind the numbers.
    """

    note = ""

    def write(self, text: str) -> None:
        """Print a line above the bar."""
        if global_worker.mode == ray.WORKER_MODE:
            print(json.dumps({"__magic_token__": tqdm_ray.RAY_TQDM_MAGIC, "line": text}), flush=True)
        else:
            tqdm_ray.instance().process_state_update({"line": text})

    def counted(self, batches: Iterable[Batch], note: str = "") -> Iterator[Batch]:
        """The batches; the galaxies of each are counted when it has been used.

        Args:
            note: shown meanwhile.
        """
        self.note = note
        self.refresh()
        for batch in batches:
            yield batch
            self.update(len(batch) if self.total is None else min(len(batch), self.total - self.n))

    def _get_state(self) -> dict[str, Any]:
        return super()._get_state() | {"note": self.note}


class WorkerBars:
    """The bars on the driver, with the methods of Ray's manager of bars."""

    def __init__(self) -> None:
        self.bars: dict[str, ProgressBar] = {}
        self.lock = threading.RLock()

    def process_state_update(self, state: dict[str, Any]) -> None:
        """Show a message of a `WorkerBar`."""
        with self.lock:
            if "line" in state:
                self._print(state["line"])
            else:
                self._show(state)

    def _print(self, text: str) -> None:
        self.hide_bars()
        print(text, flush=True)
        self.unhide_bars()

    def _show(self, state: dict[str, Any]) -> None:
        name = state["desc"]  # of a restarted worker too, which continues the bar of the dead one
        bar = self.bars.get(name)
        if bar is None:
            bar = self.bars[name] = ProgressBar(
                desc=name, total=state["total"], initial=state["x"], unit=state["unit"], file=sys.stderr
            )
        is_first = bar.n == bar.initial < state["x"]
        bar.set_postfix_str(state.get("note", ""), refresh=False)
        bar.update(state["x"] - bar.n)
        if bar.in_terminal or is_first:
            bar.refresh()
        if state["closed"]:
            self.bars.pop(name).close()

    def hide_bars(self) -> None:
        with self.lock:
            for bar in self.bars.values():
                bar.clear()

    def unhide_bars(self) -> None:
        with self.lock:
            for bar in self.bars.values():
                if bar.in_terminal:
                    bar.refresh()


def show_worker_bars() -> None:
    """Show the bars of workers in this process, the driver, as `ProgressBar`s."""
    if not isinstance(tqdm_ray._manager, WorkerBars):
        tqdm_ray._manager = WorkerBars()  # type: ignore[assignment]  # has the same methods
