"""What a file is that does not have the columns of its source: a table of its columns, and the nearest known source."""

from __future__ import annotations

from collections.abc import Mapping

import fsspec

from mmae.core.errors import InputError
from mmae.ingest.layouts.all import LAYOUTS
from mmae.ingest.layouts.layout import find
from mmae.ingest.readers.values import UNREADABLE
from mmae.ingest.sources.description import KnownSource, known_names, known_source

MOST_LISTED = 30
_PICTURES = {b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG", b"GIF8": "GIF"}


class MissingColumns(ValueError):
    """A readable file does not have the columns of the source."""


def require_columns(found: Mapping[str, str], source: KnownSource) -> None:
    """Check that a file has the required columns of a source.

    Args:
        found: columns of the file with their types and shapes.

    Raises:
        MissingColumns: with a table of the columns and the nearest known source.
    """
    spectrum = source.spectrum
    arms = spectrum.arms if spectrum is not None else ("",)
    missing = [name for name in source.required if find(name, found) is None]
    if spectrum is not None and any(find(spectrum.flux.format(arm=arm), found) for arm in arms[1:]):
        missing = [name for name in missing if name not in spectrum.of_arm(arms[0])]  # an arm may be absent
    if not missing:
        return
    rest = len(found) - MOST_LISTED
    lines = [f"  {name:28} {kind}" for name, kind in list(found.items())[:MOST_LISTED]]
    raise MissingColumns(
        f"not a file of {source.name}: no column {', '.join(missing)}. {nearest(found, source.layout)} It has\n"
        + "\n".join(lines)
        + (f"\n  and {rest} more" if rest > 0 else "")
    )


def nearest(found: Mapping[str, str], layout: str) -> str:
    """A sentence with the known source whose columns are most like those found."""
    scores = []
    for other in (known_source(name) for name in known_names()):
        wanted = (*other.scalar_columns, *other.spectrum_columns, *other.image_columns)
        shared = len(set(wanted) & set(found)) / max(len(wanted), 1)
        complete = not set(other.required) - set(found)
        scores.append((complete, shared, other.layout == layout, other.name, other.required))
    complete, shared, _, name, required = max(scores)
    if complete:
        return f"Its columns are those of --source {name}."
    if not shared:
        return "No known source has such columns; describe them in a YAML file (docs/surveys.md)."
    lacking = [column for column in required if column not in found]
    return (
        f"The nearest known source is {name}, of which it lacks {', '.join(lacking)}; describe other columns in a YAML "
        f"file (docs/surveys.md)."
    )


def what_it_is(path: str, source: KnownSource, error: Exception) -> str:
    """The reason why a file cannot be read, if it is one of another layout; else the error."""
    refuse_pictures([path])
    for name, layout in LAYOUTS.items():
        if name == source.layout or not path.lower().endswith(layout.ENDINGS):
            continue
        try:
            found = layout.columns(path)
        except UNREADABLE:
            continue
        return f"a file of another layout. {nearest(found, name)}"
    return str(error) or type(error).__name__


def refuse_pictures(paths: list[str]) -> None:
    """Refuse pictures for the screen.

    Raises:
        InputError: a file is a JPEG, PNG or GIF picture.
    """
    for path in paths:
        if not path.lower().endswith((".jpg", ".jpeg", ".png", ".gif")):
            continue
        with fsspec.open(path, "rb") as file:
            start = file.read(4)
        kind = next((kind for beginning, kind in _PICTURES.items() if start.startswith(beginning)), None)
        if kind:
            raise InputError(
                f"{path}: a {kind} picture. Its brightness was compressed to 8 bits and its bands were mixed to "
                f"colours, so fluxes cannot be recovered. Request the same cutout as FITS "
                f"(https://www.legacysurvey.org/viewer/fits-cutout)."
            )
