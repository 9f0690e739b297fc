"""Default folders of surveys, runs and reports, and the rules for folder names."""

from __future__ import annotations

import os
from pathlib import Path

FORBIDDEN_CHARACTERS = "/\\\0"


def home() -> Path:
    """The default folder for surveys, runs and the MLflow database: $MMAE_HOME, else ~/mmae.

    It is not the current folder, because a Ray job runs in a copy of the working directory that is deleted with the
    job.
    """
    return Path(os.environ.get("MMAE_HOME", "~/mmae")).expanduser().resolve()


def home_folder(folder: str) -> Path:
    """The home folder of a configuration as an absolute path; `home()` if the field is empty."""
    return Path(folder).expanduser().resolve() if folder else home()


def absolute(path: str) -> str:
    """A configured path as an absolute one, so that it means the same in every folder; empty stays empty."""
    return str(Path(path).expanduser().resolve()) if path else ""


def require_folder_name(name: str, field: str) -> None:
    """Check that a configured name is valid as a folder name; an empty name is allowed.

    Raises:
        ValueError: the name contains a slash, a backslash or NUL, or is "." or "..".
    """
    if any(c in name for c in FORBIDDEN_CHARACTERS) or name in (".", ".."):
        raise ValueError(f"{field} is {name!r}: it is used as a folder name and must not contain a slash or backslash.")
