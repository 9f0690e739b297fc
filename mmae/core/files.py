"""Atomic writes, file hashes and folder locks."""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from mmae.core.errors import InputError

LOCK = "lock"


def partial_path(path: Path) -> Path:
    """A temporary path in the folder of `path`, for an atomic write: write there, then rename to `path`.

    The name is unique to each attempt: when Ray retries a task after losing contact with its node, the first attempt
    may still be writing.
    """
    return path.with_name(f"{path.stem}.{uuid.uuid4().hex}.partial")


def write_whole(path: Path, text: str) -> None:
    """Write a small text file atomically."""
    unfinished = partial_path(path)
    unfinished.write_text(text)
    unfinished.rename(path)


def second_name(path: Path, other: Path) -> None:
    """Give a file a second name: a hard link, or a copy where the file system has none. Nothing if it is there."""
    try:
        other.hardlink_to(path)
    except FileExistsError:
        pass
    except OSError:
        unfinished = partial_path(other)
        shutil.copyfile(path, unfinished)
        unfinished.rename(other)


def file_hash(path: Path) -> str:
    """BLAKE2b digest (128 bit) of the file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


@contextmanager
def folder_lock(folder: Path, busy: str) -> Iterator[None]:
    """Create the folder if needed and hold an exclusive lock on it (one process at a time).

    The operating system releases the lock when the process ends, also when it is killed.

    Args:
        busy: the error message if another process holds the lock; it follows the folder's path.

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
