"""The first pass over the input: an index of every file, in Ray, one task per file.

Only headers and small tables are read. Files that cannot be read are rejected with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import pyarrow as pa

from mmae.astro.tables import TABLE_ENDINGS
from mmae.core.errors import InputError
from mmae.core.progress import ProgressBar
from mmae.core.tasks import Job, Runner, in_ray
from mmae.ingest.description import SurveyDescription
from mmae.ingest.files import FITS_ENDINGS, expand, name_of
from mmae.ingest.hats import catalogue_files
from mmae.ingest.pairing.catalogue import CATALOGUE, index_catalogue, with_unique_ids
from mmae.ingest.pairing.config import PairConfig
from mmae.ingest.pairing.images import IMAGES, bands_of, index_image, require_one_image
from mmae.ingest.pairing.names import group_by_name
from mmae.ingest.pairing.spectra import SPECTRA, index_coadd
from mmae.ingest.readers.redshifts import REDSHIFTS, best_redshifts, index_redshifts
from mmae.ingest.readers.values import UNREADABLE
from mmae.ingest.sources.index import FILE
from mmae.ingest.sources.recognise import refuse_pictures
from mmae.survey.schema import Rejection, SurveySpec


@dataclass
class Index:
    """The content of all files by kind, and what was rejected."""

    spectra: pa.Table
    redshifts: pa.Table
    patches: pa.Table
    stamps: pa.Table
    catalogue: pa.Table
    files: dict[str, int] = field(default_factory=dict)  # kind -> number of files
    rejections: list[Rejection] = field(default_factory=list)


def list_inputs(config: PairConfig) -> dict[str, list[str]]:
    """The files of each kind.

    Raises:
        InputError: a pattern matches no file; no spectra, images or catalogues are given.
    """
    if not (config.spectra or config.has_images or config.catalogues or config.sources):
        raise InputError(
            "--source paired needs spectra, images or catalogues: give --pair.spectra, --pair.patches, --pair.stamps, "
            "--pair.catalogues or --pair.sources."
        )
    if config.patches and not (config.spectra or config.catalogues or config.sources):
        raise InputError(
            "--pair.patches are cut at the positions of galaxies: give --pair.catalogues or --pair.spectra too."
        )
    return {
        "spectra": expand(config.spectra, FITS_ENDINGS, "DESI coadds"),
        "redshifts": expand(config.redshifts, FITS_ENDINGS, "redshift tables"),
        "patches": expand(config.patches, FITS_ENDINGS, "images"),
        "stamps": _images_of_the_sky(expand(config.stamps, FITS_ENDINGS, "cutouts")),
        "catalogues": expand(config.catalogues, TABLE_ENDINGS, "catalogues", catalogue_files),
    }


def _images_of_the_sky(paths: list[str]) -> list[str]:
    """The paths; raises InputError if one is a picture for the screen."""
    refuse_pictures(paths)
    return paths


def index_inputs(
    inputs: dict[str, list[str]],
    description: SurveyDescription,
    config: PairConfig,
    workers: int | None = None,
    run: Runner = in_ray,
) -> Index:
    """Index all files.

    Args:
        workers, run: as in `build_survey`.

    Raises:
        InputError: a catalogue does not have a column of the description, or rows with one id; two images are of one
            place; no image has one of the bands; or no file of a given kind can be read.
    """
    spec, bands = description.spec(), tuple(description.bands)
    grid_L = spec.wavelength_L()

    def images(job: Job) -> tuple[pa.Table, list[Rejection]]:
        left_out: list[Rejection] = []
        options = {"kinds": config.mask_bits, "missing_bands": config.missing_bands}
        at_zero_point = description.images_have_zero_point
        return index_image(job["name"], job["paths"], spec, at_zero_point, left_out, **options), left_out

    readers: dict[str, Callable[[Job], tuple[pa.Table, list[Rejection]]]] = {
        "spectra": lambda job: index_coadd(job["paths"][0], grid_L, tuple(description.arms)),
        "redshifts": lambda job: (index_redshifts(job["paths"][0]), []),
        "patches": images,
        "stamps": images,
        "catalogues": lambda job: index_catalogue(job["paths"][0], description.catalogue, bands),
    }
    jobs = [
        {"kind": kind, "name": name, "paths": paths}
        for kind, files in inputs.items()
        for name, paths in _units(kind, files, bands).items()
    ]

    def index(job: Job) -> Job:
        try:
            table, rejections = readers[job["kind"]](job)
        except InputError as error:
            if job["kind"] == "catalogues" and "no column" in str(error):
                raise
            table, rejections = None, [_unreadable(job, error)]
        except UNREADABLE as error:
            table, rejections = None, [_unreadable(job, error)]
        return {
            "kind": job["kind"],
            "table": b"" if table is None else _to_bytes(table),
            "rejections": json.dumps([asdict(r) for r in rejections]),
        }

    schemas = {"spectra": SPECTRA, "redshifts": REDSHIFTS, "patches": IMAGES, "stamps": IMAGES, "catalogues": CATALOGUE}
    tables: dict[str, list[pa.Table]] = {kind: [] for kind in schemas}
    rejections: dict[str, list[Rejection]] = {kind: [] for kind in schemas}
    for found in ProgressBar(run(jobs, index, workers), total=len(jobs), desc="index", unit="file", disable=not jobs):
        if found["table"]:
            tables[found["kind"]].append(pa.ipc.open_stream(found["table"]).read_all())
        rejections[found["kind"]] += [Rejection(**r) for r in json.loads(found["rejections"])]
    for kind, files in inputs.items():
        left_out = [r for r in rejections[kind] if r.field in (FILE, "image")]
        if files and left_out and not any(map(len, tables[kind])):
            first = next((r for r in left_out if r.field == FILE), left_out[0])
            raise InputError(f"none of the {len(files)} files of {kind} can be used; {first.where}: {first.reason}.")
    whole = {
        kind: pa.concat_tables(tables[kind] or [schema.empty_table()]).combine_chunks()
        for kind, schema in schemas.items()
    }
    for kind in ("patches", "stamps"):
        require_one_image(whole[kind], kind, spec)
    _require_bands(whole, spec)
    return Index(
        spectra=whole["spectra"],
        redshifts=best_redshifts(whole["redshifts"]),
        patches=whole["patches"],
        stamps=whole["stamps"],
        catalogue=with_unique_ids(whole["catalogues"]),
        rejections=[r for some in rejections.values() for r in some],
        files={kind: len(files) for kind, files in inputs.items()},
    )


def _require_bands(tables: dict[str, pa.Table], spec: SurveySpec) -> None:
    found = {band for kind in ("patches", "stamps") for bands in bands_of(tables[kind], spec) for band in bands}
    never = [band for band in spec.bands if found and band not in found]
    if never:
        raise InputError(
            f"no image is of band {', '.join(never)}: leave it out of the bands in the survey's description, or give "
            f"its files."
        )


def _units(kind: str, files: list[str], bands: tuple[str, ...]) -> dict[str, list[str]]:
    """Files that one task indexes: all bands of an image, otherwise a single file."""
    return group_by_name(files, bands) if kind in ("patches", "stamps") else {name_of(f) + f: [f] for f in files}


def _unreadable(job: Job, error: Exception) -> Rejection:
    path = job["paths"][0]
    reason = (str(error) or type(error).__name__).removeprefix(f"{path}: ")
    return Rejection(name_of(path), ", ".join(job["paths"]), FILE, reason)


def _to_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()
