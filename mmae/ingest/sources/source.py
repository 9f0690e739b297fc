"""A known source as input of a survey: `--source NAME --inputs GLOB`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmae.core.settings import to_dict
from mmae.core.tasks import Runner, in_ray
from mmae.ingest.files import expand, file_size, name_of
from mmae.ingest.hats import catalogue_files
from mmae.ingest.layouts.all import LAYOUTS
from mmae.ingest.layouts.layout import PIECE_ROWS, Piece
from mmae.ingest.normalisation import measure_images
from mmae.ingest.readers.redshifts import best_redshifts, index_redshifts
from mmae.ingest.readers.values import UNREADABLE
from mmae.ingest.sources.checks import Counts, check_sample
from mmae.ingest.sources.convert import galaxies_of
from mmae.ingest.sources.description import KnownSource, known_source, on_grid
from mmae.ingest.sources.grid import GridConfig
from mmae.ingest.sources.images import has_scale
from mmae.ingest.sources.index import SourceIndex, index_source
from mmae.ingest.sources.recognise import refuse_pictures
from mmae.survey.missing import MAX_MISSING
from mmae.survey.schema import Galaxy, Rejection, SurveySpec
from mmae.survey.source import Chunk, ChunkRead, Source

CHUNK_ROWS = 512
SAMPLED = 512  # rows in which masks, zero points and the normalisation are measured
SAMPLED_PARTS = 16


def source_of(
    name: str,
    inputs: Sequence[str],
    grid: GridConfig | None = None,
    redshifts: Sequence[Path] = (),
    workers: int | None = None,
    run: Runner = in_ray,
    chunk_rows: int = CHUNK_ROWS,
) -> Source:
    """The galaxies of a known source, file by file.

    Args:
        name: of the source, or a YAML file with the description of another one.
        inputs: files, folders and patterns.
        grid: the survey's pixels and wavelengths, where they differ from those of the description.
        redshifts: redrock files or tables with TARGETID and Z.

    Raises:
        InputError: an unknown source; no file is found or can be read; a readable file has other columns; or the sample
            shows an inverted mask or another zero point.
    """
    source = on_grid(known_source(name), grid or GridConfig())
    files = list_files(source, inputs)
    index = index_source(source, files, run, workers)
    labels = read_labels(redshifts)
    spec = measured_spec(source, index)
    return Source(
        name=source.name,
        spec=spec,
        provenance={
            "reader": "known source",
            "description": to_dict(source),
            "files": [name_of(path) for path in files],
            "bytes": sum(file_size(path) for path in files),
            "redshift_files": [path.name for path in redshifts],
            "rows": len(index.rows),
        },
        chunks=[
            *([{"rejected": [vars(r) for r in index.rejections]}] if index.rejections else []),
            *_chunks(index.rows, labels, chunk_rows),
        ],
        read=partial(read_chunk, source=source, spec=spec),
    )


def list_files(source: KnownSource, inputs: Sequence[str]) -> list[str]:
    """The files of the inputs; of HATS catalogues and collections those of the catalogue itself.

    Raises:
        InputError: an input matches no file, is a margin catalogue, or a picture for the screen.
    """
    files = expand(inputs, LAYOUTS[source.layout].ENDINGS, f"files of {source.name}", catalogue_files)
    refuse_pictures(files)
    return files


def read_chunk(chunk: Chunk, source: KnownSource, spec: SurveySpec) -> ChunkRead:
    """The galaxies of some rows of one or several files. Rows that cannot be read are rejected."""
    if "rejected" in chunk:
        return ChunkRead(rejections=[Rejection(**r) for r in chunk["rejected"]])
    result = ChunkRead()
    for part in chunk["parts"]:
        read = read_rows(part["path"], np.array(part["rows"]), source, spec)
        names = {f"{part['path']}, row {row}": name for row, name in zip(part["rows"], part["names"], strict=True)}
        for galaxy, where in zip(read.galaxies, read.where, strict=True):
            galaxy.object_id = names[where]
            _add_label(galaxy, where, chunk.get("labels", {}), result)
        result.galaxies += read.galaxies
        result.where += read.where
        result.rejections += [replace(r, object_id=names.get(r.where, r.object_id)) for r in read.rejections]
    return result


def read_rows(
    path: str, rows: np.ndarray, source: KnownSource, spec: SurveySpec, most_missing: float = MAX_MISSING
) -> ChunkRead:
    """The galaxies of some rows (increasing) of one file; `most_missing` as in `galaxies_of`."""
    result, done = ChunkRead(), 0
    try:
        for piece in _pieces(path, rows, source, spec):
            part = galaxies_of(piece, source, spec, path, most_missing)
            result.galaxies += part.galaxies
            result.where += part.where
            result.rejections += part.rejections
            done += len(piece.rows)
    except UNREADABLE as error:
        reason = f"cannot be read: {error or type(error).__name__}"
        result.rejections += [Rejection(name_of(path), f"{path}, row {row}", "row", reason) for row in rows[done:]]
    return result


def measured_spec(source: KnownSource, index: SourceIndex) -> SurveySpec:
    """The spec of a survey of this source; noise and normalisation are measured unless they are known.

    Raises:
        InputError: as `check_sample` and `measure_images`.
    """
    spec = replace(source.survey.spec(), extra_columns=source.extra_columns)
    galaxies = check_source(source, index.rows, spec)
    given = {name: getattr(spec, name) for name in ("band_noise", "arcsinh_mean", "arcsinh_std")}
    images = [g.image_CHW for g in galaxies if g.image_CHW is not None]
    if all(np.isfinite(values).all() for values in given.values()):
        return spec
    n = len(spec.bands)
    measured = {"band_noise": (1.0,) * n, "arcsinh_mean": (0.0,) * n, "arcsinh_std": (1.0,) * n}
    if images:
        measured = measure_images(np.stack(images), given["band_noise"], spec)
    return replace(
        spec, **{name: values if np.isfinite(values).all() else measured[name] for name, values in given.items()}
    )


def check_source(source: KnownSource, rows: pa.Table, spec: SurveySpec) -> list[Galaxy]:
    """Check a sample of the rows (`index.ROWS`), and return its galaxies.

    Raises:
        InputError: as `check_sample`.
    """
    counts, galaxies = Counts(), []
    for piece in _sample(source, rows, spec):
        counts.add(piece, source)
        galaxies += galaxies_of(piece, source, spec, "").galaxies
    check_sample(counts, galaxies, source, spec)
    return galaxies


def read_labels(paths: Sequence[Path]) -> dict[int, list[Any]]:
    """[redshift, error, ZWARN] by TARGETID, of redrock files, zbest files and tables with TARGETID and Z."""
    if not paths:
        return {}
    table = best_redshifts(pa.concat_tables([index_redshifts(str(Path(path).absolute())) for path in paths]))
    columns = (table[name].to_pylist() for name in ("redshift", "redshift_err", "zwarn"))
    return dict(zip(table["targetid"].to_pylist(), map(list, zip(*columns, strict=True)), strict=True))


def _pieces(path: str, rows: np.ndarray, source: KnownSource, spec: SurveySpec) -> Iterator[Piece]:
    names = (*source.scalar_columns, *source.spectrum_columns, *source.image_columns)
    image = source.image
    centre = None
    if image is not None and image.planes == "first" and has_scale(image, spec):
        centre = dict.fromkeys((image.array, image.mask, image.ivar), spec.image_size)
    return LAYOUTS[source.layout].read(path, names, rows, centre)


def _sample(source: KnownSource, rows: pa.Table, spec: SurveySpec) -> Iterator[Piece]:
    """The values of up to SAMPLED rows, evenly spaced in parts of consecutive rows; of damaged files none."""
    size = min(PIECE_ROWS, -(-SAMPLED // SAMPLED_PARTS))
    starts = np.unique(np.linspace(0, max(len(rows) - size, 0), SAMPLED_PARTS).astype(int))
    chosen = np.unique(np.concatenate([np.arange(start, min(start + size, len(rows))) for start in starts]))
    some = rows.take(pa.array(chosen))
    for path in some["file"].unique().to_pylist():
        here = some.filter(pc.equal(some["file"], path))["row"].to_numpy()
        try:
            yield from _pieces(path, np.sort(here), source, spec)
        except UNREADABLE:
            continue


def _chunks(rows: pa.Table, labels: dict[int, list[Any]], chunk_rows: int) -> list[Chunk]:
    """Chunks of rows that are next to each other in the files."""
    chunks = []
    for start in range(0, len(rows), chunk_rows):
        some = rows.slice(start, chunk_rows).to_pylist()
        parts: dict[str, Chunk] = {}
        for row in some:
            part = parts.setdefault(row["file"], {"path": row["file"], "rows": [], "names": []})
            part["rows"].append(row["row"])
            part["names"].append(row["object_id"])
        found = {str(row["targetid"]): labels[row["targetid"]] for row in some if row["targetid"] in labels}
        chunks.append({"parts": list(parts.values())} | ({"labels": found} if found else {}))
    return chunks


def _add_label(galaxy: Galaxy, where: str, labels: dict[str, list[Any]], result: ChunkRead) -> None:
    label = labels.get(str(galaxy.targetid))
    if label is None:
        return
    redshift, error, galaxy.zwarn = label
    if galaxy.zwarn:
        reason = f"ZWARN={galaxy.zwarn}: redrock warns of z={redshift:.4f}; the row is kept without a label"
        result.rejections.append(Rejection(galaxy.object_id, where, "redshift", reason))
        galaxy.redshift = galaxy.redshift_err = None
    else:
        galaxy.redshift, galaxy.redshift_err = redshift, None if error is None or np.isnan(error) else error
