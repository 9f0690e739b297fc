"""Reader of DESI coadds (per tile or per healpix) with redshifts from redrock or a catalogue.

File layouts: https://desidatamodel.readthedocs.io, coadd-*.fits and redrock-*.fits.

Shape suffixes: N spectra, L samples of the common grid, A samples of one arm.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from astropy.io import fits

from mmae.astro.desi import grid_samples, join_arms
from mmae.core.errors import InputError
from mmae.ingest.files import FITS_ENDINGS
from mmae.ingest.ids import distinct_names, repeated, with_origin
from mmae.ingest.readers.coadd import absent_arms, fibermap, present_arms
from mmae.ingest.readers.values import UNREADABLE, is_label, number
from mmae.survey.schema import Galaxy, Rejection, SurveySpec
from mmae.survey.source import Chunk, ChunkRead, Source

ARMS = ("B", "R", "Z")
CHUNK_ROWS = 256


def desi_source(paths: list[Path], redshifts: list[Path], chunk_rows: int = CHUNK_ROWS) -> Source:
    """The spectra of DESI coadd files, labelled by TARGETID from redshift tables.

    `redshifts` are redrock files or FITS tables with the columns TARGETID and Z (and, where
    they exist, ZERR, ZWARN, DELTACHI2). A redshift is used as a label only if ZWARN is 0 or
    the table has no such column (a catalogue selected before); redshifts of stars are kept.
    Of several redshifts of one target, ZWARN 0 is preferred, then the largest DELTACHI2.
    Flux is in 1e-17 erg/s/cm2/A. There are no images.

    A coadd that cannot be read becomes a rejection of the source's first chunks. An arm that is not in a coadd has
    ivar 0. The object_id is the TARGETID, after the name of the file if the target is in several.

    Raises:
        InputError: a path does not exist; no coadd can be read; an arm is off the common
            grid; a redshift table cannot be read or has no TARGETID and Z; the redshift
            tables contain none of the targets.
    """
    spec = SurveySpec()
    paths, redshifts = _absolute(paths, "coadd"), _absolute(redshifts, "redshift table")
    if not paths:
        raise InputError("desi: no coadd files given; give at least one coadd-*.fits.")
    targets: dict[Path, np.ndarray] = {}
    unreadable: dict[Path, str] = {}
    without_arm: dict[Path, str] = {}
    for path in paths:
        try:
            targets[path], absent = _coadd_targets(path, spec)
            if absent:
                without_arm[path] = absent
        except InputError:
            raise
        except UNREADABLE as error:
            unreadable[path] = f"not a readable DESI coadd: {error or type(error).__name__}"
    if not targets:
        path, reason = next(iter(unreadable.items()))
        raise InputError(
            f"none of {len(paths)} DESI coadds can be read; {path}: {reason}. "
            f"Download them again, or give other coadd-*.fits files."
        )
    labels = _read_labels(redshifts, np.unique(np.concatenate(list(targets.values()))))
    names = _object_ids(targets)
    return Source(
        name="desi",
        spec=spec,
        provenance={
            "reader": "desi",
            "files": [path.name for path in paths],
            "bytes": sum(path.stat().st_size for path in paths),
            "unreadable_files": [path.name for path in unreadable],
            "redshift_files": [path.name for path in redshifts],
            "rows": sum(len(ids) for ids in targets.values()),
        },
        chunks=[
            *({"path": str(path), "unreadable": reason} for path, reason in unreadable.items()),
            *({"path": str(path), "absent_arms": reason} for path, reason in without_arm.items()),
            *(
                {
                    "path": str(path),
                    "start": start,
                    "stop": min(start + chunk_rows, len(ids)),
                    "labels": [labels.get(int(t)) for t in ids[start : start + chunk_rows]],
                    **({"names": names[path][start : start + chunk_rows]} if path in names else {}),
                }
                for path, ids in targets.items()
                for start in range(0, len(ids), chunk_rows)
            ),
        ],
        read=partial(read_chunk, spec=spec),
    )


def read_chunk(chunk: Chunk, spec: SurveySpec) -> ChunkRead:
    """The spectra of a range of rows of one coadd.

    Sky fibres and fibres without a target are rejected. A label with ZWARN other than 0
    is rejected and its row kept. If the file cannot be read, the result is one rejection.

    Raises:
        InputError: an arm is off the common grid.
    """
    path = Path(chunk["path"])
    if "unreadable" in chunk:
        return ChunkRead(rejections=[Rejection(path.name, str(path), "row", chunk["unreadable"])])
    if "absent_arms" in chunk:
        return ChunkRead(rejections=[Rejection(path.name, str(path), "arm", chunk["absent_arms"])])
    start, stop = chunk["start"], chunk["stop"]
    try:
        with fits.open(path) as file:
            fibers = _fiber_rows(fibermap(file), start, stop)
            flux_NL, ivar_NL = _spectra(file, path, start, stop, spec)
    except InputError:
        raise
    except UNREADABLE as error:
        reason = f"{stop - start} spectra cannot be read: {error or type(error).__name__}"
        return ChunkRead(rejections=[Rejection(path.name, f"{path}, rows {start} to {stop - 1}", "row", reason)])
    result = ChunkRead()
    for i, (fiber, label) in enumerate(zip(fibers, chunk["labels"], strict=True)):
        where = f"{path}, row {start + i}"
        object_id = chunk["names"][i] if "names" in chunk else str(fiber.targetid)
        if fiber.no_target:
            result.rejections.append(Rejection(object_id, where, "row", fiber.no_target))
            continue
        z, z_err, zwarn = label or (None, None, 0)
        if zwarn != 0:
            reason = f"ZWARN={zwarn}: redrock warns of z={z}; the row is kept without a label"
            result.rejections.append(Rejection(object_id, where, "redshift", reason))
            z = z_err = None
        result.where.append(where)
        result.galaxies.append(
            Galaxy(
                object_id=object_id,
                ra=fiber.ra,
                dec=fiber.dec,
                targetid=fiber.targetid,
                redshift=z,
                redshift_err=z_err,
                flux_L=flux_NL[i],
                ivar_L=ivar_NL[i],
                morphtype=fiber.morphtype,
                group_id=str(fiber.targetid),  # a target observed on two tiles is one galaxy
            )
        )
    return result


@dataclass(frozen=True)
class _Fiber:
    targetid: int
    ra: float | None
    dec: float | None
    morphtype: str | None
    no_target: str | None  # the reason why this fibre has no target


def _absolute(paths: list[Path], what: str) -> list[Path]:
    paths = [Path(path).absolute() for path in paths]  # Ray workers run in another folder
    for path in paths:
        if not path.is_file():
            raise InputError(f"{path}: no such {what} file. Check the path or the pattern.")
    return paths


def _object_ids(targets: dict[Path, np.ndarray]) -> dict[Path, list[str]]:
    """The object_ids of the files that have a target more than once, or with another file."""
    name_N = pa.array(np.concatenate(list(targets.values()))).cast(pa.string())
    if not repeated(name_N).any():
        return {}
    short = distinct_names([str(path) for path in targets], FITS_ENDINGS)
    file_N = pa.array([short[str(path)] for path, ids in targets.items() for _ in ids], pa.string())
    row_N = pa.array(np.concatenate([np.arange(len(ids)) for ids in targets.values()]))
    unique_N = iter(with_origin(name_N, file_N, row_N).to_pylist())
    return {path: [next(unique_N) for _ in ids] for path, ids in targets.items()}


def _coadd_targets(path: Path, spec: SurveySpec) -> tuple[np.ndarray, str]:
    """Check the layout and wavelength grids of a coadd; its TARGETID (N,), and the absent arms as a reason or ""."""
    with fits.open(path) as file:
        targetid = np.array(fibermap(file).data["TARGETID"], np.int64)
        absent = absent_arms(file, str(path), ARMS)
        for arm in present_arms(file, ARMS):
            wave_A = _arm_wavelength(file, path, arm, spec)
            for part in ("FLUX", "IVAR"):
                hdu = file[f"{arm}_{part}"]
                if hdu.shape != (len(targetid), len(wave_A)):
                    raise ValueError(
                        f"{hdu.name} has shape {hdu.shape}, FIBERMAP has "
                        f"{len(targetid)} rows and {arm}_WAVELENGTH {len(wave_A)}"
                    )
                # astropy opens a truncated file and fails on its last rows.
                location = hdu.fileinfo() or {}
                end = location.get("datLoc", 0) + location.get("datSpan", 0)
                if path.suffix == ".fits" and end > path.stat().st_size:
                    raise OSError(f"truncated: {hdu.name} ends at byte {end}, the file at byte {path.stat().st_size}")
    return targetid, absent


def _arm_wavelength(file: fits.HDUList, path: Path, arm: str, spec: SurveySpec) -> np.ndarray:
    wave_A = np.asarray(file[f"{arm}_WAVELENGTH"].data, np.float64)
    try:
        grid_samples(wave_A, spec.wavelength_L())
    except InputError as error:
        raise InputError(f"{path}: {arm}_WAVELENGTH: {error}") from None
    return wave_A


def _spectra(file: fits.HDUList, path: Path, start: int, stop: int, spec: SurveySpec) -> tuple[np.ndarray, np.ndarray]:
    """Flux (N, L) and ivar (N, L) of a range of rows, arms joined; only these rows are read."""
    rows, arms = slice(start, stop), present_arms(file, ARMS)
    return join_arms(
        [_arm_wavelength(file, path, arm, spec) for arm in arms],
        [file[f"{arm}_FLUX"].section[rows] for arm in arms],
        [file[f"{arm}_IVAR"].section[rows] for arm in arms],
        # Some reductions have no mask and set ivar to 0 instead.
        [file[f"{arm}_MASK"].section[rows] if f"{arm}_MASK" in file else None for arm in arms],
        spec.wavelength_L(),
    )


def _fiber_rows(fibermap: fits.BinTableHDU, start: int, stop: int) -> list[_Fiber]:
    """FIBERMAP rows; columns other than TARGETID differ between releases and may be absent."""
    table = fibermap.data[start:stop]

    def column(name: str) -> list[Any]:
        return list(table[name]) if name in table.names else [None] * len(table)

    fibers = []
    for targetid, ra, dec, morphtype, objtype in zip(
        column("TARGETID"),
        column("TARGET_RA"),
        column("TARGET_DEC"),
        column("MORPHTYPE"),
        column("OBJTYPE"),
        strict=True,
    ):
        no_target = None
        if objtype is not None and objtype.strip() != "TGT":
            no_target = f"OBJTYPE is {objtype.strip() or 'blank'}: the fibre was not on a target"
        elif targetid < 0:  # desitarget uses negative numbers for sky and stuck fibres
            no_target = f"TARGETID is {targetid}: the fibre was not on a target"
        fibers.append(_Fiber(int(targetid), number(ra), number(dec), (morphtype or "").strip() or None, no_target))
    return fibers


def _read_labels(paths: list[Path], targets: np.ndarray) -> dict[int, tuple[Any, Any, int]]:
    """(z or None, error or None, ZWARN) by TARGETID, for those of `targets` that have a row."""
    if not paths:
        return {}
    parts = [_redshift_rows(path, targets) for path in paths]
    targetid, z, z_err, zwarn, delta_chi2 = (np.concatenate(c) for c in zip(*parts, strict=True))
    if not len(targetid):
        raise InputError(
            f"none of the {len(targets)} targets of the DESI coadds is in "
            f"{', '.join(map(str, paths))}. Give the redrock files of the same tiles or "
            f"healpix, or no redshift tables."
        )
    # Worst first: the last redshift of a target is kept.
    order = np.lexsort((delta_chi2, zwarn == 0))
    return {int(targetid[i]): (number(z[i]), number(z_err[i]), int(zwarn[i])) for i in order}


def _redshift_rows(path: Path, targets: np.ndarray) -> tuple[np.ndarray, ...]:
    """TARGETID, z, error, ZWARN, DELTACHI2 of the given targets."""
    try:
        with fits.open(path) as file:
            table = next(
                hdu.data
                for hdu in file
                if isinstance(hdu, fits.BinTableHDU) and {"TARGETID", "Z"} <= set(hdu.columns.names)
            )
            redshift = np.asarray(table["Z"], np.float64)
            keep = np.isin(table["TARGETID"], targets) & (is_label(redshift) | np.isnan(redshift))

            def column(name: str, absent: float, dtype: type) -> np.ndarray:
                if name not in table.names:
                    return np.full(keep.sum(), absent, dtype)
                return np.asarray(table[name])[keep].astype(dtype)

            return (
                column("TARGETID", 0, np.int64),
                column("Z", np.nan, np.float64),
                column("ZERR", np.nan, np.float64),
                column("ZWARN", 0, np.int64),
                column("DELTACHI2", 0.0, np.float64),
            )
    except StopIteration:
        raise InputError(
            f"{path}: no table with the columns TARGETID and Z. Give a redrock-*.fits file or a redshift catalogue."
        ) from None
    except UNREADABLE as error:
        raise InputError(
            f"{path}: redshift table cannot be read ({error or type(error).__name__}). Download it again."
        ) from error
