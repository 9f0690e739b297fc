"""Files that appear whole or not at all, their hashes, and locks on folders."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from mmae.core.errors import InputError

LOCK = "lock"


def partial_path(path: Path) -> Path:
    """A temporary path beside `path`: write there, then rename to `path`, so that the file appears at once and whole.

    Every attempt gets its own name: where Ray retries a task whose node it has lost, the
    first attempt may still be writing.
    """
    return path.with_name(f"{path.stem}.{uuid.uuid4().hex}.partial")


def write_whole(path: Path, text: str) -> None:
    """Write a small text file atomically."""
    unfinished = partial_path(path)
    unfinished.write_text(text)
    unfinished.rename(path)


def file_hash(path: Path) -> str:
    """BLAKE2b (128 bit) of the file's bytes, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


@contextmanager
def folder_lock(folder: Path, busy: str) -> Iterator[None]:
    """Create the folder and hold its lock file, so that one process at a time writes there.

    The operating system releases the lock when the process ends, however it ends, so a
    killed process never blocks the next one.

    Args:
        busy: the message, after the folder's path, if another process holds the lock.

    Raises:
        InputError: another process holds the lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InputError(f"{folder}: {busy}") from error
    try:
        yield
    finally:
        lock.release()
