"""Files that others made: what may be in them before they are read, and what may be shown of them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit, urlunsplit

import pyarrow as pa

from mmae.core.errors import InputError


def require_plain_columns(schema: pa.Schema, path: Path) -> None:
    """Refuse columns of extension types. Ray registers one whose values are pickles, and reading them runs code.

    Raises:
        InputError: naming file and column.
    """
    for field in schema:
        if isinstance(field.type, pa.BaseExtensionType):
            raise InputError(
                f"{path}: column {field.name} is of the extension type {field.type.extension_name}, which may run code "
                f"when it is read. Write it again with plain columns."
            )


def require_inside(path: str, manifest: Path) -> str:
    """A path of a manifest that stays in the manifest's folder.

    Raises:
        InputError: it is absolute or goes up.
    """
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts:
        raise InputError(
            f"{manifest}: {path!r} lies outside of this folder. Rebuild the survey, or ask who gave it to you."
        )
    return path


def without_password(uri: str) -> str:
    """A URI that may be printed and kept: user and password are left out."""
    parts = urlsplit(uri)
    if "@" not in parts.netloc:
        return uri
    return urlunsplit(parts._replace(netloc=f"***@{parts.netloc.rpartition('@')[2]}"))
