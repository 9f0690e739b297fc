"""Atomic writes and folder locks."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from mmae.core.errors import InputError
from mmae.core.files import file_hash, folder_lock, partial_path, second_name, write_whole

HOLD_LOCK = """
import sys
from pathlib import Path
from mmae.core.files import folder_lock
with folder_lock(Path(sys.argv[1]), "in use"):
    print("locked", flush=True)
    sys.stdin.read()
"""


def hold_lock(folder: Path) -> subprocess.Popen:
    """A process that holds the lock of a folder until its standard input is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout.readline() == "locked\n"
    return process


def test_a_second_process_cannot_lock_a_folder(tmp_path):
    folder = tmp_path / "new" / "run"
    process = hold_lock(folder)
    try:
        with pytest.raises(InputError, match=f"^{folder}: busy$"), folder_lock(folder, "busy"):
            pytest.fail("locked twice")
    finally:
        process.communicate("", timeout=60)
    with folder_lock(folder, "busy"):
        pass


def test_the_lock_of_a_killed_process_is_released(tmp_path):
    process = hold_lock(tmp_path)
    process.kill()
    process.communicate(timeout=60)
    with folder_lock(tmp_path, "busy"):
        pass


def test_an_exception_releases_the_lock(tmp_path):
    with pytest.raises(ZeroDivisionError), folder_lock(tmp_path, "busy"):
        raise ZeroDivisionError
    with folder_lock(tmp_path, "busy"):
        with pytest.raises(InputError, match="busy"), folder_lock(tmp_path, "busy"):
            pytest.fail("locked twice")


def test_write_whole_replaces_the_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "state.json"
    for text in ("first", "second"):
        write_whole(path, text)
        assert path.read_text() == text and list(tmp_path.iterdir()) == [path]


def test_partial_paths_are_unique_and_in_the_same_folder(tmp_path):
    paths = {partial_path(tmp_path / "a.parquet") for _ in range(10)}
    assert len(paths) == 10 and all(path.parent == tmp_path and path.suffix != ".parquet" for path in paths)


def test_file_hash_is_blake2b(tmp_path):
    content = bytes(range(256)) * 1000
    (tmp_path / "x").write_bytes(content)
    assert file_hash(tmp_path / "x") == hashlib.blake2b(content, digest_size=16).hexdigest()


@pytest.mark.parametrize("links", [True, False])
def test_a_second_name_keeps_the_first_and_can_be_given_again(tmp_path, monkeypatch, links):
    def refuse(*_):
        raise PermissionError("no hard links here")

    if not links:
        monkeypatch.setattr(Path, "hardlink_to", refuse)
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"rows")
    for _ in range(2):
        second_name(path, other)
    assert path.read_bytes() == other.read_bytes() == b"rows"
    assert {p.name for p in tmp_path.iterdir()} == {"a", "b"}
