"""A survey on disk: a folder of Parquet shards per split, and survey.json beside them.

survey/
  survey.json            spec, provenance, counts, content hash, split hash, list of shards
  train/000000.parquet   ... val/ test/ ...
  truth/000000.parquet   true properties of simulated galaxies; never read in training
  rejected.parquet       rows and fields that were rejected, with the reason
  contact_sheet.png
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmae.core.errors import InputError
from mmae.core.files import file_hash, partial_path
from mmae.core.untrusted import require_inside
from mmae.survey.schema import SPLITS, SurveySpec, arrow_schema, recorded_spec

MANIFEST = "survey.json"
ROW_GROUP = 256
SHARD_ADVICE = "Rebuild the survey, or copy this file again."
SCALAR_TYPES = (pa.types.is_integer, pa.types.is_floating)


@dataclass(frozen=True)
class Shard:
    """One Parquet file of a survey."""

    path: str  # relative to the survey's folder
    split: str
    rows: int
    blake2b: str  # of the file's bytes


@dataclass(frozen=True)
class TruthShard:
    """One Parquet file with the truth of simulated galaxies of all splits; see `truth.py`."""

    path: str  # relative to the survey's folder
    rows: int
    blake2b: str


@dataclass(frozen=True)
class Duplicates:
    """Galaxies with more than one row, and rows whose split was changed to give all rows of a galaxy one split."""

    galaxies: int  # in more than one row: within 1 arcsec, or of one targetid and within 10 arcsec
    rows: int  # of these galaxies
    largest: int  # rows of the largest set that shares a split, by these links and by group_id
    moved: int  # rows whose split differs from that of their cell or group


@dataclass(frozen=True)
class Survey:
    """An opened, validated survey."""

    path: Path
    spec: SurveySpec
    provenance: dict[str, Any]
    counts: dict[str, dict[str, float]]  # per split: galaxies, images, spectra, redshifts, ...
    content_hash: str
    shards: tuple[Shard, ...]
    truth_shards: tuple[TruthShard, ...] = ()
    recorded_split_hash: str = ""  # empty in older surveys; see `columns.split_hash`
    duplicates: Duplicates | None = None  # None: survey built before duplicates were recorded
    built_with: dict[str, str] = field(default_factory=dict)  # versions, commit and host; part of no hash

    def files(self, split: str) -> list[str]:
        """Absolute paths of the shards of one split.

        Raises:
            InputError: the split has no rows.
        """
        files = [str(self.path / s.path) for s in self.shards if s.split == split]
        if not files:
            raise InputError(
                f"{self.path}: the {split} split has zero rows. Rebuild the survey with more galaxies "
                f"or other --split.fractions or a larger --split.nside (now: {self.rows_per_split()})."
            )
        return files

    def rows_per_split(self) -> dict[str, int]:
        return {split: sum(s.rows for s in self.shards if s.split == split) for split in SPLITS}


def write_shard(table: pa.Table, path: Path) -> str:
    """Write one shard in the layout that is fastest to read, and return the hash of its bytes.

    Tensors do not compress, have no useful statistics and no repeated values, so
    compression, dictionaries and statistics on them would only cost time and space.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scalars = [f.name for f in table.schema if any(is_type(f.type) for is_type in SCALAR_TYPES)]
    partial = partial_path(path)
    pq.write_table(
        table,
        partial,
        row_group_size=ROW_GROUP,
        compression="NONE",
        use_dictionary=False,
        write_statistics=scalars,
        write_page_checksum=True,
    )
    partial.rename(path)
    return file_hash(path)


def write_manifest(survey: Survey) -> None:
    """Write survey.json, the last file of a build: without it the folder is not a survey."""
    values = {
        "format": "mmae-survey-1",
        "spec": dataclasses.asdict(survey.spec),
        "provenance": survey.provenance,
        "counts": survey.counts,
        "content_hash": survey.content_hash,
        "split_hash": survey.recorded_split_hash,
        "duplicates": dataclasses.asdict(survey.duplicates) if survey.duplicates else None,
        "built_with": survey.built_with,
        "shards": [dataclasses.asdict(s) for s in survey.shards],
    }
    if survey.truth_shards:
        values["truth"] = [dataclasses.asdict(s) for s in survey.truth_shards]
    (survey.path / MANIFEST).write_text(json.dumps(values, indent=1) + "\n")


def content_hash(spec: SurveySpec, shards: Sequence[Shard], truth_shards: Sequence[TruthShard] = ()) -> str:
    """Hash of the spec and of the bytes of all shards, sorted by name, truth last."""
    digest = hashlib.blake2b(spec.to_json().encode(), digest_size=16)
    by_name = [sorted(some, key=lambda s: s.path) for some in (shards, truth_shards)]
    for shard in [shard for some in by_name for shard in some]:
        digest.update(f"{shard.path}:{shard.blake2b}\n".encode())
    return digest.hexdigest()


def open_survey(path: str | Path, expected: SurveySpec | None = None) -> Survey:
    """Open a survey and check every shard's footer against the manifest.

    Raises:
        InputError: no survey in this folder; a shard is missing, truncated or has another schema; or
            (with `expected`) another band order, image size or wavelength grid.
    """
    path = Path(path).expanduser().resolve()
    manifest = path / MANIFEST
    if not manifest.is_file():
        raise InputError(
            f"{path}: not a survey ({MANIFEST} is missing). Build one with "
            f"`python ray_jobs/build_survey.py --out {shlex.quote(str(path))}`."
        )
    try:
        values = json.loads(manifest.read_text())
        survey = Survey(
            path=path,
            spec=SurveySpec.from_json(json.dumps(values["spec"])),
            provenance=values["provenance"],
            counts=values["counts"],
            content_hash=values["content_hash"],
            shards=tuple(Shard(**s) for s in values["shards"]),
            truth_shards=tuple(TruthShard(**s) for s in values.get("truth", [])),
            recorded_split_hash=values.get("split_hash", ""),
            duplicates=Duplicates(**values["duplicates"]) if values.get("duplicates") else None,
            built_with=values.get("built_with", {}),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{manifest}: not a survey manifest ({error}). Rebuild the survey.") from error
    for shard in (*survey.shards, *survey.truth_shards):
        require_inside(shard.path, manifest)
    if expected is not None:
        expected.require_equal_grid(survey.spec, str(path))
    for shard in survey.shards:
        _check_shard(survey, shard)
    for shard in survey.truth_shards:
        _footer_schema(survey, shard)
    return survey


def _check_shard(survey: Survey, shard: Shard) -> None:
    path = survey.path / shard.path
    schema = _footer_schema(survey, shard)
    spec = recorded_spec(schema, str(path), SHARD_ADVICE)
    if spec is None:
        raise InputError(f"{path}: no survey metadata in the Parquet footer. {SHARD_ADVICE}")
    survey.spec.require_equal_grid(spec, str(path))
    if not schema.equals(arrow_schema(survey.spec)):
        raise InputError(f"{path}: columns or types differ from the survey's schema. {SHARD_ADVICE}")


def _footer_schema(survey: Survey, shard: Shard | TruthShard) -> pa.Schema:
    """The schema of a shard, after checks that it exists, is complete and has the manifest's number of rows."""
    path = survey.path / shard.path
    if not path.is_file():
        raise InputError(f"{path}: shard is missing. {SHARD_ADVICE}")
    try:
        parquet = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        first_line = str(error).splitlines()[0]
        raise InputError(f"{path}: truncated or not Parquet ({first_line}). {SHARD_ADVICE}") from error
    with parquet:
        rows = parquet.metadata.num_rows
        if rows != shard.rows:
            raise InputError(f"{path}: {rows} rows, but {shard.rows} in {MANIFEST}. {SHARD_ADVICE}")
        return parquet.schema_arrow


def verify_content(survey: Survey) -> None:
    """Read all bytes and compare them with the hashes of the manifest.

    Raises:
        InputError: a shard has changed since the survey was built.
    """
    for shard in (*survey.shards, *survey.truth_shards):
        if file_hash(survey.path / shard.path) != shard.blake2b:
            raise InputError(
                f"{survey.path / shard.path}: content has changed since the survey was built. Copy this file again."
            )
