"""Checks of files from untrusted sources, and removal of credentials from URIs."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit, urlunsplit

import pyarrow as pa

from mmae.core.errors import InputError


def require_plain_columns(schema: pa.Schema, path: Path) -> None:
    """Refuse columns of Arrow extension types: Ray registers one that unpickles its values, which can run code.

    Raises:
        InputError: there is such a column.
    """
    for field in schema:
        if isinstance(field.type, pa.BaseExtensionType):
            raise InputError(
                f"{path}: column {field.name} has the extension type {field.type.extension_name}; reading it may run "
                f"code. Rewrite the file with plain columns."
            )


def require_inside(path: str, manifest: Path) -> str:
    """The path, if it is inside the manifest's folder.

    Raises:
        InputError: it is absolute or contains "..".
    """
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts:
        raise InputError(f"{manifest}: {path!r} is outside this folder. Rebuild the survey, or contact its author.")
    return path


def without_password(uri: str) -> str:
    """The URI with user and password replaced by ***, for printing and logging."""
    parts = urlsplit(uri)
    if "@" not in parts.netloc:
        return uri
    return urlunsplit(parts._replace(netloc=f"***@{parts.netloc.rpartition('@')[2]}"))
