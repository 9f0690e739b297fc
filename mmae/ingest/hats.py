"""The catalogue rows of HATS catalogues and collections (https://www.ivoa.net/documents/Notes/HATS).

A catalogue is a folder with hats.properties and dataset/Norder=<order>/Dir=<..>/Npix=<pixel>.parquet, beside tables
that are no catalogue rows: partition_info.csv, maps of the sky, a thumbnail of the data. A collection is a folder of a
catalogue, its margins (rows of neighbouring pixels, again) and indexes. HiPSCat, its predecessor, has
catalog_info.json and no folder dataset/.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from configparser import ConfigParser, Error

from fsspec import AbstractFileSystem

from mmae.core.errors import InputError

_PROPERTIES = ("hats.properties", "properties", "catalog_info.json")
_COLLECTION = "collection.properties"
_NOT_ROWS = {"margin", "index", "association", "map"}
_PARTITION = re.compile(r"(.*?)/(?:dataset/)?Norder=\d+/")


def catalogue_files(files: Sequence[str], system: AbstractFileSystem) -> list[str]:
    """The files without those of HATS catalogues that hold no catalogue rows.

    Raises:
        InputError: the files are of margins or indexes only.
    """
    folders = {file.rpartition("/")[0] for file in files if not _PARTITION.match(file)}
    roots = {match.group(1) for match in map(_PARTITION.match, files) if match}
    roots |= {folder for folder in folders if any(system.exists(f"{folder}/{name}") for name in _PROPERTIES)}
    kinds = {root: _kind(root, system) for root in roots}
    kept = []
    for file in files:
        root = max((root for root in roots if file.startswith(f"{root}/")), key=len, default=None)
        if root is None or (kinds[root] not in _NOT_ROWS and _PARTITION.match(file)):
            kept.append(file)
    if files and not kept:
        root = min(roots)
        raise InputError(
            f"{root}: a HATS {kinds[root] or 'catalogue'} without catalogue rows. Give the folder of the catalogue or "
            f"of its collection."
        )
    return kept


def _kind(root: str, system: AbstractFileSystem) -> str:
    """dataproduct_type of a catalogue; "index" for one that is not the main one of its collection; "" if unknown."""
    parent = root.rpartition("/")[0]
    main = _properties(f"{parent}/{_COLLECTION}", system).get("hats_primary_table_url", "")
    kind = ""
    for name in _PROPERTIES:
        values = _properties(f"{root}/{name}", system)
        kind = kind or str(values.get("dataproduct_type") or values.get("catalog_type") or "").lower()
    if main and main.rstrip("/").rpartition("/")[2] != root.rpartition("/")[2] and kind not in _NOT_ROWS:
        return "index"
    return kind


def _properties(path: str, system: AbstractFileSystem) -> dict[str, str]:
    """Keys and values of a file; empty if there is none or it cannot be read."""
    if not system.exists(path):
        return {}
    text = system.cat_file(path).decode("utf-8", "replace")
    try:
        if path.endswith(".json"):
            return json.loads(text)
        parser = ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#", "!"), strict=False)
        parser.read_string(f"[hats]\n{text}")
        return dict(parser["hats"])
    except (ValueError, Error):
        return {}
