"""Reader of Hyper Suprime-Cam cutouts: .npz archives, and FITS files of the HSC cutout service.

Shape suffixes: N cutouts, C bands, S pixels of a cutout before cropping.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from mmae.core.errors import InputError
from mmae.ingest.ids import distinct_names
from mmae.ingest.readers.hsc_archive import check_archive, read_archive, unique_ids
from mmae.ingest.readers.hsc_fits import FITS_SUFFIXES, group_by_object, read_objects
from mmae.survey.missing import MAX_MISSING
from mmae.survey.schema import SurveySpec
from mmae.survey.source import Chunk, ChunkRead, Source

NPZ_CHUNK_ROWS = 512
FITS_CHUNK_OBJECTS = 64


def hsc_source(paths: list[Path], max_outside: float = MAX_MISSING) -> Source:
    """Galaxy images (5, 64, 64), grizy counts at zero point 27.0 mag, from HSC cutouts.

    Archives `.npz`: `image` (N, 5, S, S) counts at 27.0 mag, and optionally `weight` of
    that shape (0 outside the footprint), `parent` (N,) (cutouts of one parent overlap and
    share a split; parents of two archives are different ones), `bands` (5,), `object_id`, `ra`, `dec` (N,).
    An object_id that occurs more than once is prefixed by the name of its archive.

    FITS: one file per object with an image HDU per band, or one file per object and band,
    `<object>_g.fits` or `<n>-cutout-HSC-G-<tract>.fits`, grouped by the name without
    the band. The band comes from FILTER or EXTNAME of the HDU, else FILTER of the
    primary header, else the file name. A folder means all cutouts in it.

    Larger cutouts are cropped about the centre. Missing pixels are NaN: outside the footprint (weight 0), flagged
    NO_DATA in the mask of a FITS file, of inverse variance 0, NaN in the file, or beyond the end of a smaller FITS
    cutout. A cutout is rejected if more than the fraction `max_outside` of the pixels in its observed bands is missing.

    Raises:
        InputError: a path does not exist or is not a cutout file; an .npz archive cannot be
            read, has no `image`, has another band order or count, too small cutouts, or
            keys of different lengths.
    """
    if not 0 <= max_outside <= 1:
        raise InputError(f"hsc: max_outside is {max_outside}; give a fraction from 0 to 1.")
    spec = SurveySpec()
    files = list(dict.fromkeys(_expand(paths)))
    archives = [path for path in files if path.suffix == ".npz"]
    objects = group_by_object([path for path in files if path.suffix != ".npz"])
    chunks: list[Chunk] = []
    rows = {path: check_archive(path, spec) for path in archives}
    short = distinct_names([str(path) for path in archives], (".npz",))
    names = unique_ids(rows, short)
    for path, n_rows in rows.items():
        chunks += [
            {"path": str(path), "start": start, "stop": min(start + NPZ_CHUNK_ROWS, n_rows)}
            | ({"names": names[path][start : start + NPZ_CHUNK_ROWS]} if path in names else {})
            | ({"archive": short[str(path)]} if len(archives) > 1 else {})
            for start in range(0, n_rows, NPZ_CHUNK_ROWS)
        ]
    chunks += [{"objects": objects[i : i + FITS_CHUNK_OBJECTS]} for i in range(0, len(objects), FITS_CHUNK_OBJECTS)]
    return Source(
        name="hsc",
        spec=spec,
        provenance={
            "reader": "hsc",
            "files": [path.name for path in files],
            "bytes": sum(path.stat().st_size for path in files),
            "max_outside": max_outside,
        },
        chunks=chunks,
        read=partial(read_chunk, spec=spec, max_outside=max_outside),
    )


def read_chunk(chunk: Chunk, spec: SurveySpec, max_outside: float) -> ChunkRead:
    """The cutouts of a range of rows of an .npz archive, or of a list of FITS objects."""
    if "objects" in chunk:
        return read_objects(chunk["objects"], spec, max_outside)
    path, names = Path(chunk["path"]), chunk.get("names")
    return read_archive(path, chunk["start"], chunk["stop"], spec, max_outside, names, chunk.get("archive"))


def _expand(paths: list[Path]) -> list[Path]:
    """Absolute paths of cutout files; folders are replaced by their files."""
    files: list[Path] = []
    for path in [Path(path).absolute() for path in paths]:  # Ray workers run in another folder
        inside = path.iterdir() if path.is_dir() else []
        found = [path] if path.is_file() else sorted(f for f in inside if _is_cutout(f))
        if not path.exists():
            raise InputError(f"{path}: no such file or folder of HSC cutouts. Check the path.")
        if not found or not all(_is_cutout(f) for f in found):
            raise InputError(
                f"{path}: no HSC cutouts. Give .npz or FITS files ({', '.join(FITS_SUFFIXES)}), or a folder of them."
            )
        files += found
    if not files:
        raise InputError("hsc: no cutouts given; give .npz or FITS files, or a folder of them.")
    return files


def _is_cutout(path: Path) -> bool:
    return path.is_file() and path.name.endswith((".npz", *FITS_SUFFIXES))
