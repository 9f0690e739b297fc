"""The input of a prediction job: Parquet files of a survey, of a HATS catalogue, or matched by a pattern.

All files have the columns and the metadata of a survey (mmae/survey/schema.py): band order, grids and units are read
from there and compared with those of the model; nothing is assumed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mmae.bundle.tables import fitting_spec
from mmae.core.errors import InputError
from mmae.core.untrusted import require_plain_columns
from mmae.ingest.files import expand
from mmae.ingest.hats import catalogue_files
from mmae.model.batch import InputSpec
from mmae.model.modalities import MODALITIES
from mmae.survey.schema import SPEC_KEY, SurveySpec, recorded_spec
from mmae.survey.store import MANIFEST, open_survey

POSITION = ("object_id", "ra", "dec")
ENDINGS = (".parquet", ".parq", ".pq")
COPY_AGAIN = "Copy this file again, then run the same command."
READ_BYTES = 1 << 20  # read from a column at a time
ROWS_AT_A_TIME = 64  # to find one row
READERS = 8  # threads that read footers; they mostly wait for the disk


@dataclass(frozen=True)
class Piece:
    """A unit of work: consecutive row groups of one file."""

    path: str
    groups: tuple[int, ...]
    rows_of_groups: tuple[int, ...]
    first_row: int  # in the file

    @property
    def rows(self) -> int:
        return sum(self.rows_of_groups)


@dataclass(frozen=True)
class Input:
    """The galaxies to which a model is applied.

    Attributes:
        path: as given.
        spec: band order, grids and units.
        columns: that are read.
        modalities: of the model, for which there are columns.
        id_type: type of the column object_id.
        content: hash that identifies the galaxies: that of the survey, or of names and sizes of files.
    """

    path: str
    spec: SurveySpec
    columns: tuple[str, ...]
    modalities: tuple[str, ...]
    id_type: pa.DataType
    pieces: tuple[Piece, ...]
    content: str

    @property
    def rows(self) -> int:
        return sum(piece.rows for piece in self.pieces)


@dataclass(frozen=True)
class Footer:
    """The part of a Parquet footer that is needed here."""

    path: str
    schema: pa.Schema
    rows_of_groups: tuple[int, ...]
    n_bytes: int


def open_input(
    path: str,
    model_spec: InputSpec,
    model_modalities: Sequence[str],
    *,
    use: Collection[str],
    splits: Sequence[str],
    piece_rows: int,
) -> Input:
    """Open the input of a job and check it against the model.

    Args:
        path: survey folder, HATS catalogue, folder of Parquet files, or pattern.
        use: modalities to use; empty: all of the model.
        splits: of a survey folder.
        piece_rows: galaxies per unit of work, in whole row groups.

    Raises:
        InputError: there are no files, they lack columns or metadata or differ from each other, or their grids are not
            those of the model.
    """
    files, content = input_files(path, splits)
    with ThreadPoolExecutor(READERS) as pool:
        footers = list(pool.map(read_footer, files))
    spec, schema = _common(footers)
    modalities = _modalities(path, spec, schema, model_modalities, use)
    fitting_spec(spec, model_spec, modalities, path)
    wanted = [c for name in modalities for names in MODALITIES[name].columns(spec.bands).values() for c in names]
    columns = (*POSITION, *(column for column in wanted if column in schema.names))
    pieces = tuple(piece for footer in footers for piece in _pieces(footer, piece_rows))
    if not pieces:
        raise InputError(f"{path}: the files have no rows. Check the path, or --splits.")
    return Input(
        path, spec, columns, modalities, schema.field("object_id").type, pieces, content or _content(path, footers)
    )


def read_footer(path: str) -> Footer:
    """Schema and sizes of a Parquet file.

    Raises:
        InputError: it is not Parquet, or has columns that may run code.
    """
    try:
        with pq.ParquetFile(path) as parquet:
            metadata, schema = parquet.metadata, parquet.schema_arrow
            rows = tuple(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))
    except (OSError, pa.ArrowInvalid) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: truncated or not Parquet ({reason}). {COPY_AGAIN}") from error
    require_plain_columns(schema, Path(path))
    return Footer(path, schema, rows, Path(path).stat().st_size)


def read_piece(piece: Piece, columns: Sequence[str], batch_size: int) -> Iterator[pa.Table]:
    """The rows of a piece in batches, with verified page checksums; a row group is not read as a whole.

    Raises:
        InputError: the file is damaged, or has other rows than when the job began.
        OSError: the storage does not answer.
    """
    rows = 0
    try:
        with pq.ParquetFile(piece.path, page_checksum_verification=True, buffer_size=READ_BYTES) as parquet:
            for batch in parquet.iter_batches(batch_size, list(piece.groups), list(columns), use_threads=False):
                rows += batch.num_rows
                yield pa.Table.from_batches([batch])
    except (OSError, pa.ArrowInvalid) as error:
        if getattr(error, "errno", None) is not None:  # of the operating system; damaged pages have none
            raise
        reason = str(error).splitlines()[0]
        raise InputError(f"{piece.path}: cannot be read ({reason}). {COPY_AGAIN}") from error
    if rows != piece.rows:
        raise InputError(f"{piece.path}: it has {rows} rows where there were {piece.rows}. {COPY_AGAIN}")


def read_row(path: str, row: int, columns: Sequence[str]) -> pa.Table:
    """One row of a file, which has it; of its row group, only some rows are read."""
    with pq.ParquetFile(path) as parquet:
        group, start = 0, 0
        while row >= start + parquet.metadata.row_group(group).num_rows:
            start += parquet.metadata.row_group(group).num_rows
            group += 1
        for batch in parquet.iter_batches(ROWS_AT_A_TIME, [group], list(columns), use_threads=False):
            if row < start + batch.num_rows:
                return pa.Table.from_batches([batch.slice(row - start, 1)])
            start += batch.num_rows
    raise AssertionError


def input_files(path: str, splits: Sequence[str]) -> tuple[list[str], str]:
    """The files in a fixed order, and the content hash if the path is a survey."""
    folder = Path(path).expanduser()
    if (folder / MANIFEST).is_file():
        survey = open_survey(folder)
        chosen = [str(survey.path / shard.path) for shard in survey.shards if shard.split in splits]
        return sorted(chosen), f"{survey.content_hash} {' '.join(sorted(splits))}"
    return expand([path], ENDINGS, "Parquet file", catalogue_files), ""


def spec_of(footer: Footer) -> SurveySpec:
    """Band order, grids and units from the metadata of a file.

    Raises:
        InputError: it has none, or they are damaged.
    """
    spec = recorded_spec(footer.schema, footer.path, COPY_AGAIN)
    if spec is None:
        raise InputError(
            f"{footer.path}: no survey metadata in the Parquet footer, so that band order, grids and units are "
            f"unknown. Build a survey from these files with ray_jobs/build_survey.py (docs/surveys.md)."
        )
    return spec


def _common(footers: Sequence[Footer]) -> tuple[SurveySpec, pa.Schema]:
    """Spec and schema of all files."""
    first = footers[0]
    spec = spec_of(first)
    for footer in footers:
        missing = set(POSITION) - set(footer.schema.names)
        if missing:
            raise InputError(f"{footer.path}: no column {', '.join(sorted(missing))}. Add it, or give other files.")
        same_grid = (footer.schema.metadata or {}).get(SPEC_KEY) == first.schema.metadata[SPEC_KEY]
        if not (same_grid and footer.schema.equals(first.schema)):
            raise InputError(
                f"{footer.path}: its columns or grids differ from those of {first.path}. Give one survey at a time."
            )
    return spec, first.schema


def _modalities(
    path: str, spec: SurveySpec, schema: pa.Schema, of_model: Sequence[str], use: Collection[str]
) -> tuple[str, ...]:
    """The modalities of the model that are used and for which the files have columns."""
    unknown = set(use) - set(of_model)
    if unknown:
        raise InputError(f"--use {' '.join(use)}: the model reads {', '.join(of_model)} only.")

    def has(name: str) -> bool:
        kind = MODALITIES[name]
        needed = {n: c for n, c in kind.columns(spec.bands).items() if n not in kind.optional}
        return all(set(columns) <= set(schema.names) for columns in needed.values())

    found = tuple(name for name in of_model if (not use or name in use) and has(name))
    if not found:
        raise InputError(
            f"{path}: no columns of {', '.join(use or of_model)}, which the model reads. Give other files."
        )
    return found


def _pieces(footer: Footer, piece_rows: int) -> list[Piece]:
    """Consecutive row groups of a file with at most `piece_rows` rows, or one row group if it has more."""
    pieces: list[Piece] = []
    groups: list[int] = []
    first, rows = 0, 0
    for index, n in enumerate(footer.rows_of_groups):
        if groups and rows + n > piece_rows:
            pieces.append(_piece(footer, groups, first))
            first, groups, rows = first + rows, [], 0
        groups.append(index)
        rows += n
    if rows:
        pieces.append(_piece(footer, groups, first))
    return pieces


def _piece(footer: Footer, groups: Sequence[int], first: int) -> Piece:
    return Piece(footer.path, tuple(groups), tuple(footer.rows_of_groups[i] for i in groups), first)


def _content(path: str, footers: Sequence[Footer]) -> str:
    """Hash of names, sizes and row groups of the files."""
    root = Path(path).expanduser().absolute()
    values = [[str(Path(f.path)).removeprefix(str(root)), f.n_bytes, f.rows_of_groups] for f in footers]
    return hashlib.blake2b(json.dumps(values).encode(), digest_size=16).hexdigest()


def describe_input(given: Input) -> dict[str, object]:
    """What determines the rows of a catalogue, as plain values, for the record of a job."""
    return {
        "content": given.content,
        "spec": asdict(given.spec),
        "modalities": list(given.modalities),
        "rows": given.rows,
        "pieces": len(given.pieces),
    }
