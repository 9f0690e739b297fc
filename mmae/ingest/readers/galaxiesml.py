"""Reader of the GalaxiesML-Spectra and GalaxiesML HDF5 files (HSC-PDR2 images, with or without DESI spectra).

Zenodo records 16989593 (with spectra) and 13878122, 64x64 or 127x127 pixels. In GalaxiesML, which has no spectra,
scalar datasets are not in groups.

Shape suffixes: N galaxies, C bands, H and W image pixels, L wavelength samples.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa

from mmae.core.errors import InputError
from mmae.ingest.ids import repeated
from mmae.ingest.readers.observed import keep_observed
from mmae.ingest.readers.values import number
from mmae.survey.missing import MAX_MISSING, missing_fault
from mmae.survey.schema import Galaxy, Rejection, SurveySpec
from mmae.survey.source import Chunk, ChunkRead, Source

IMAGE = "image"
SPECTRUM = FLUX, IVAR, WAVE = "spectrum/flux", "spectrum/ivar", "spectrum/wave"
REDSHIFT = "DESI_fibermap/DESI_redshift"
OBJECT_ID = "object_id"
REQUIRED = (IMAGE, OBJECT_ID)

TARGETID = "targetid"
REDSHIFT_ERR = "DESI_fibermap/DESI_redshift_err"
# In files without spectra: HSC's compilation of spectroscopic redshifts, and whether its sources agree.
SPECZ, SPECZ_ERR, SPECZ_FLAG = "specz_redshift", "specz_redshift_err", "specz_flag_homogeneous"
MORPHTYPE = "DESI_fibermap/MORPHTYPE"
# Names of the position, if the file has one; the first pair found is used.
POSITIONS = (
    ("HSC_metadata/ra", "HSC_metadata/dec"),
    ("DESI_fibermap/TARGET_RA", "DESI_fibermap/TARGET_DEC"),
    ("ra", "dec"),
)

WAVE_TOLERANCE = 0.01  # Angstrom; float32 rounds to 0.0005 A at 9824 A, one sample is 0.8 A
_DOWNLOAD = "download it again from https://doi.org/10.5281/zenodo.16989593"


def galaxiesml_source(path: Path, chunk_rows: int = 512) -> Source:
    """The galaxies of one GalaxiesML-Spectra HDF5 file, read `chunk_rows` at a time.

    Images are (5, H, W) float32 in the band order grizy at zero point 27.0 mag; H is taken
    from the file (64 or 127). Spectra, in 1e-17 erg/s/cm2/A, are cut from the 7783 samples
    of the file to the 7781 of the DESI grid, which is located in `spectrum/wave`.
    `specz_flag_homogeneous` is not applied: it concerns HSC's compilation of redshifts,
    but the label here is DESI's. In a file without spectra the label is `specz_redshift` of that compilation, where the
    flag is not false. An object_id that several rows have is followed by the row.

    Raises:
        InputError: the file is missing, not HDF5 or truncated; a dataset is missing or of
            the wrong shape or length; the wavelength grid does not contain the DESI grid.
    """
    path = Path(path).absolute()  # Ray workers run in another folder
    with _open(path) as file:
        present = _present(file)
        n_rows = _check_lengths(file, path, present)
        spec = _spec(file, path)
        first = _first_sample(file, path, spec) if WAVE in present else 0
        names = _repeated_ids(file, path)
    return Source(
        name="galaxiesml",
        spec=spec,
        provenance={
            "reader": "galaxiesml",
            "doi": f"10.5281/zenodo.{16989593 if WAVE in present else 13878122}",
            "file": path.name,
            "bytes": path.stat().st_size,
            "rows": n_rows,
            "absent_datasets": sorted(set(_optional(spec)) - set(present)),
        },
        chunks=[
            {"path": str(path), "start": start, "stop": min(start + chunk_rows, n_rows)}
            | ({"names": names[start : start + chunk_rows]} if any(names[start : start + chunk_rows]) else {})
            for start in range(0, n_rows, chunk_rows)
        ],
        read=partial(read_chunk, spec=spec, first_sample=first),
    )


def read_chunk(chunk: Chunk, spec: SurveySpec, first_sample: int) -> ChunkRead:
    """The rows `start` to `stop` of the file.

    A field that cannot be read, an image with too many missing pixels, or a spectrum with a row of `wave` off the
    grid, is rejected and the rest of the row is kept; `check_galaxy` rejects a row if neither its image nor its
    spectrum is left.

    Raises:
        InputError: the file was removed or changed since the source was created.
    """
    path, start, stop = Path(chunk["path"]), chunk["start"], chunk["stop"]
    result = ChunkRead()
    with _open(path) as file:
        present = _present(file)
        columns = {name: _read_rows(file[name], start, stop) for name in present if name != WAVE}
        wave_errors: list[str | None] = [None] * (stop - start)
        if WAVE in present:
            wave_errors = _wave_errors(file[WAVE], start, stop, spec, first_sample)
    samples = slice(first_sample, first_sample + spec.n_wavelengths)
    for i in range(stop - start):
        row = {name: values[i] for name, values in columns.items()}
        errors = {name: value.reason for name, value in row.items() if isinstance(value, _Unread)}
        row = {name: None if name in errors else value for name, value in row.items()}
        if wave_errors[i]:
            errors[WAVE] = wave_errors[i]
        galaxy, where = _galaxy(row, start + i, path, spec), f"{path}, row {start + i}"
        galaxy.object_id = (chunk["names"][i] if "names" in chunk else None) or galaxy.object_id
        if row.get(SPECZ_FLAG) is not None and REDSHIFT not in row and not row[SPECZ_FLAG]:
            errors[SPECZ] = f"{SPECZ_FLAG} is false: the sources of z={galaxy.redshift} differ; no label"
            galaxy.redshift = galaxy.redshift_err = None
        if WAVE not in present or set(SPECTRUM) & set(errors):
            galaxy.flux_L = galaxy.ivar_L = None
        else:
            galaxy.flux_L = row[FLUX][samples].astype(np.float32)
            galaxy.ivar_L = row[IVAR][samples].astype(np.float32)
        fault = "" if galaxy.image_CHW is None else missing_fault(galaxy.image_CHW, MAX_MISSING)
        if fault:
            errors[IMAGE], galaxy.image_CHW = fault, None
        if _text(row.get(TARGETID)) is not None and galaxy.targetid is None:
            errors[TARGETID] = f"targetid {row[TARGETID]!r} is not an integer"
        result.galaxies.append(galaxy)
        result.where.append(where)
        for name, reason in errors.items():
            result.rejections.append(Rejection(galaxy.object_id, where, _field(name), f"{name}: {reason}"))
    return result


@dataclasses.dataclass(frozen=True)
class _Unread:
    """Placeholder for a value that cannot be read from the file."""

    reason: str


def _open(path: Path) -> h5py.File:
    if not path.is_file():
        raise InputError(f"{path}: no such file. Give the path of a GalaxiesML-Spectra HDF5 file, or {_DOWNLOAD}.")
    if not h5py.is_hdf5(path):
        raise InputError(f"{path}: not an HDF5 file. If it was downloaded, {_DOWNLOAD}.")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise InputError(
            f"{path}: cannot be opened, it is probably truncated ({error}). "
            f"Compare its size with that of the record, and {_DOWNLOAD}."
        ) from error


def _magnitudes(spec: SurveySpec) -> list[str]:
    return [f"HSC_metadata/{band}_cmodel_mag" for band in spec.bands]


def _magnitudes_ungrouped(spec: SurveySpec) -> list[str]:
    return [f"{band}_cmodel_mag" for band in spec.bands]


def _optional(spec: SurveySpec) -> list[str]:
    return [TARGETID, REDSHIFT_ERR, MORPHTYPE, *_magnitudes(spec)]


def _present(file: h5py.File) -> list[str]:
    """Names of the datasets to read. Raises InputError if a required one is missing, or a part of the spectra."""
    with_spectra = any(name in file for name in (*SPECTRUM, REDSHIFT))
    required = (*REQUIRED, *SPECTRUM, REDSHIFT) if with_spectra else REQUIRED
    for name in required:
        if not isinstance(file.get(name), h5py.Dataset):
            raise InputError(
                f"{file.filename}: dataset {name} is missing. A GalaxiesML-Spectra file has "
                f"{', '.join((*REQUIRED, *SPECTRUM, REDSHIFT))}, one without spectra {', '.join(REQUIRED)}; if the "
                f"file was converted, add the dataset, otherwise {_DOWNLOAD}."
            )
    wanted = [*_optional(SurveySpec()), *(name for pair in POSITIONS for name in pair)]
    if not with_spectra:
        wanted += [SPECZ, SPECZ_ERR, SPECZ_FLAG, *_magnitudes_ungrouped(SurveySpec())]
    return [*required, *(name for name in wanted if isinstance(file.get(name), h5py.Dataset))]


def _check_lengths(file: h5py.File, path: Path, present: list[str]) -> int:
    n_rows = len(file[IMAGE])
    if n_rows == 0:
        raise InputError(f"{path}: dataset {IMAGE} has no rows; {_DOWNLOAD}.")
    per_row = [name for name in present if name != WAVE or file[WAVE].ndim == 2]
    for name in per_row:
        length = file[name].shape[0] if file[name].shape else None
        if length != n_rows:
            raise InputError(
                f"{path}: dataset {name} has {length} rows, dataset {IMAGE} has {n_rows}. All "
                f"datasets must have the same number of rows: write the file again, or {_DOWNLOAD}."
            )
    return n_rows


def _spec(file: h5py.File, path: Path) -> SurveySpec:
    spec, shape = SurveySpec(), file[IMAGE].shape
    if len(shape) != 4 or shape[1] != len(spec.bands) or shape[2] != shape[3]:
        raise InputError(
            f"{path}: dataset {IMAGE} has shape {shape}, expected (N, {len(spec.bands)}, H, H): "
            f"one square image for each of the bands {','.join(spec.bands)}, in this order."
        )
    return dataclasses.replace(spec, image_size=shape[2])


def _first_sample(file: h5py.File, path: Path, spec: SurveySpec) -> int:
    """Index in `spectrum/wave` of the first DESI sample: 1 in the published file."""
    wave, grid_L = file[WAVE], spec.wavelength_L()
    if wave.ndim not in (1, 2):
        raise InputError(f"{path}: dataset {WAVE} has shape {wave.shape}, expected (N, L) or (L,).")
    for name in (FLUX, IVAR):
        if file[name].ndim != 2 or file[name].shape[1] != wave.shape[-1]:
            raise InputError(
                f"{path}: dataset {name} has shape {file[name].shape}, but {WAVE} has "
                f"{wave.shape}: the last lengths must be equal."
            )
    # Three rows are tried, because a single one may be bad.
    probes = [()] if wave.ndim == 1 else sorted({0, len(wave) // 2, len(wave) - 1})
    found = []
    for row in probes:
        try:
            wave_L = np.asarray(wave[row], np.float64)
        except OSError:  # corrupt; read_chunk reports it row by row
            continue
        first = int(np.searchsorted(wave_L, grid_L[0] - WAVE_TOLERANCE))
        cut_L = wave_L[first : first + spec.n_wavelengths]
        if cut_L.shape == grid_L.shape and np.abs(cut_L - grid_L).max() <= WAVE_TOLERANCE:
            return first
        span = f"{wave_L[0]:.2f}..{wave_L[-1]:.2f} A " if len(wave_L) else ""
        found.append(f"{span}in {len(wave_L)} samples")
    raise InputError(
        f"{path}: dataset {WAVE} is {found[0] if found else 'unreadable'}, which does not contain "
        f"the DESI grid {grid_L[0]:.1f}..{grid_L[-1]:.1f} A in steps of {spec.wavelength_step} A. "
        f"Resample flux and ivar to that grid, or {_DOWNLOAD}."
    )


def _read_rows(dataset: h5py.Dataset, start: int, stop: int) -> list[Any]:
    """The values of rows `start` to `stop`; `_Unread` for those that cannot be read."""
    try:
        return list(dataset[start:stop])
    except OSError:  # a corrupt HDF5 chunk: read the other rows one by one
        return [_read_row(dataset, row) for row in range(start, stop)]


def _read_row(dataset: h5py.Dataset, row: int) -> Any:
    try:
        return dataset[row]
    except OSError as error:
        return _Unread(f"the file cannot be read at this row ({error})")


def _wave_errors(wave: h5py.Dataset, start: int, stop: int, spec: SurveySpec, first: int) -> list[str | None]:
    """The reason why a row of `wave` is not the DESI grid, or None, for each row.

    Only the first, middle and last sample of each row are read: a linear grid is determined by two
    of them, and `wave` is as large as the flux.
    """
    errors: list[str | None] = [None] * (stop - start)
    if wave.ndim == 1:  # checked when the source was created
        return errors
    grid_L = spec.wavelength_L()
    for sample in (0, spec.n_wavelengths // 2, spec.n_wavelengths - 1):
        try:
            values = list(wave[start:stop, first + sample])
        except OSError:
            values = [_read_row(wave, row) for row in range(start, stop)]
            values = [v if isinstance(v, _Unread) else v[first + sample] for v in values]
        for i, value in enumerate(values):
            if isinstance(value, _Unread):
                errors[i] = value.reason
            elif not errors[i] and not abs(value - grid_L[sample]) <= WAVE_TOLERANCE:  # or NaN
                errors[i] = (
                    f"sample {first + sample} is at {value:.2f} A, not {grid_L[sample]:.2f} A as on the DESI grid"
                )
    return errors


def _galaxy(row: dict[str, Any], index: int, path: Path, spec: SurveySpec) -> Galaxy:
    """One galaxy without its spectrum; `row` has None for values that could not be read."""
    targetid = _integer(row.get(TARGETID))
    magnitudes = [
        number(row.get(grouped, row.get(plain)))
        for grouped, plain in zip(_magnitudes(spec), _magnitudes_ungrouped(spec), strict=True)
    ]
    ra, dec = next(((number(row[a]), number(row[d])) for a, d in POSITIONS if a in row and d in row), (None, None))
    image = row[IMAGE]
    return Galaxy(
        object_id=_text(row[OBJECT_ID]) or f"{path.stem}-{index}",
        ra=ra,
        dec=dec,
        targetid=targetid,
        redshift=number(row.get(REDSHIFT, row.get(SPECZ))),
        redshift_err=number(row.get(REDSHIFT_ERR, row.get(SPECZ_ERR))),
        image_CHW=None if image is None else keep_observed(np.asarray(image, np.float32)),
        cmodel_mag_C=(
            None if all(m is None for m in magnitudes) else np.array([np.nan if m is None else m for m in magnitudes])
        ),
        morphtype=_text(row.get(MORPHTYPE)),
        # Several HSC objects may have the same DESI target: its spectrum must not be
        # in train in one row and in test in another.
        group_id=None if targetid is None else str(targetid),
    )


def _repeated_ids(file: h5py.File, path: Path) -> list[str | None]:
    """For each row a new object_id if other rows have the same one, else None."""
    read = [None if isinstance(v, _Unread) else _text(v) for v in _read_rows(file[OBJECT_ID], 0, len(file[IMAGE]))]
    known = pa.array(read, pa.string())
    again_N = repeated(known) & known.is_valid().to_numpy(zero_copy_only=False)
    return [f"{path.stem}/row-{i}/{read[i]}" if again_N[i] else None for i in range(len(read))]


def _field(dataset: str) -> str:
    """The field of `Galaxy` that is read from a dataset."""
    if dataset in (FLUX, IVAR, WAVE):
        return "spectrum"
    return {REDSHIFT: "redshift", SPECZ: "redshift"}.get(dataset, dataset.rsplit("/", 1)[-1].lower())


def _text(value: Any) -> str | None:
    if value is None:
        return None
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text.strip("\0 ") or None


def _integer(value: Any) -> int | None:
    try:
        return int(_text(value) or "")
    except ValueError:
        return None
