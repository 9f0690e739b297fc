"""Read ahead in a thread, so that a model does not wait for the disk."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

DEPTH = 2  # items that are ready


def read_ahead(items: Iterable[Item], depth: int = DEPTH) -> Iterator[Item]:
    """The items, of which the next ones are made in a thread while one is used; exceptions are passed on."""
    ready: queue.Queue[tuple[bool, Item | BaseException | None]] = queue.Queue(depth)
    abandoned = threading.Event()

    def put(entry: tuple[bool, Item | BaseException | None]) -> bool:
        while not abandoned.is_set():
            try:
                ready.put(entry, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def read() -> None:
        try:
            for item in items:
                if not put((True, item)):
                    return
            put((False, None))
        except BaseException as error:
            put((False, error))

    threading.Thread(target=read, daemon=True).start()
    try:
        while True:
            is_item, value = ready.get()
            if is_item:
                yield value  # type: ignore[misc]  # an item
            elif isinstance(value, BaseException):
                raise value
            else:
                return
    finally:
        abandoned.set()
