"""DESI coadds: index of their targets, and spectra of selected rows.

File layouts: https://desidatamodel.readthedocs.io, coadd-*.fits.

Shape suffixes: N rows, R selected rows, L samples of the common grid, A samples of one arm.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from astropy.io import fits

from mmae.astro.desi import grid_samples, join_arms
from mmae.core.errors import InputError
from mmae.ingest.files import name_of, open_fits, require_whole
from mmae.ingest.readers.coadd import absent_arms, fibermap, present_arms
from mmae.ingest.readers.redshifts import integers, numbers
from mmae.survey.schema import Rejection

SPECTRA = pa.schema(
    [
        ("file", pa.string()),
        ("row", pa.int64()),
        ("targetid", pa.int64()),
        ("ra", pa.float64()),
        ("dec", pa.float64()),
        ("pmra", pa.float64()),
        ("pmdec", pa.float64()),
        ("epoch", pa.float64()),
        ("morphtype", pa.string()),
        ("fiberstatus", pa.int64()),
        ("object_id", pa.string()),  # of known sources; null: the TARGETID
    ]
)


def index_coadd(path: str, grid_L: np.ndarray, arms: tuple[str, ...]) -> tuple[pa.Table, list[Rejection]]:
    """The targets of a coadd (SPECTRA) from its FIBERMAP, and as rejections fibres without a target and absent arms.

    Raises:
        OSError, LookupError, TypeError, ValueError: the file is not a complete coadd on this grid.
    """
    with open_fits(path) as file:
        require_whole(file, path)
        table = fibermap(file).data
        n = len(table)
        absent = absent_arms(file, path, arms)
        for arm in present_arms(file, arms):
            samples = _arm_samples(file, arm, grid_L)
            for part in ("FLUX", "IVAR"):
                shape = file[f"{arm}_{part}"].shape
                if shape != (n, len(samples)):
                    raise ValueError(
                        f"{arm}_{part} has shape {shape}, FIBERMAP has {n} rows and {arm}_WAVELENGTH {len(samples)}"
                    )
        targetid_N = np.asarray(table["TARGETID"], np.int64)
        text = {
            name: np.char.strip(np.asarray(table[name], np.str_))
            for name in ("OBJTYPE", "MORPHTYPE")
            if name in table.names
        }
        columns = {
            "file": np.full(n, path),
            "row": np.arange(n),
            "targetid": targetid_N,
            **{
                ours: numbers(table, theirs)
                for ours, theirs in (
                    ("ra", "TARGET_RA"),
                    ("dec", "TARGET_DEC"),
                    ("pmra", "PMRA"),
                    ("pmdec", "PMDEC"),
                    ("epoch", "REF_EPOCH"),
                )
            },
            "morphtype": np.array([word or None for word in text["MORPHTYPE"].tolist()], object)
            if "MORPHTYPE" in text
            else np.full(n, None),
            "fiberstatus": integers(table, "COADD_FIBERSTATUS", "FIBERSTATUS"),
            "object_id": pa.nulls(n, pa.string()),
        }
    # desitarget uses negative numbers for sky and stuck fibres.
    off_target_N = targetid_N < 0
    if "OBJTYPE" in text:
        off_target_N |= text["OBJTYPE"] != "TGT"
    rejections = [
        Rejection(str(targetid_N[i]), f"{path}, row {i}", "row", "the fibre was not on a target")
        for i in np.flatnonzero(off_target_N)
    ]
    if absent:
        rejections.append(Rejection(name_of(path), path, "arm", absent))
    return pa.table(columns, schema=SPECTRA).filter(pa.array(~off_target_N)), rejections


def read_spectra(
    path: str, row_R: np.ndarray, grid_L: np.ndarray, arms: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Flux and ivar (R, L) of some rows of a coadd, arms joined; only these rows are decoded.

    Raises:
        OSError, LookupError, TypeError, ValueError: the file cannot be read.
    """
    with open_fits(path) as file:

        def rows(name: str) -> np.ndarray:
            section = file[name].section
            # One read if most rows of the range are selected; otherwise row by row.
            if row_R[-1] - row_R[0] < 2 * len(row_R):
                return section[int(row_R[0]) : int(row_R[-1]) + 1][row_R - row_R[0]]
            return np.stack([section[int(row)] for row in row_R])

        arms = present_arms(file, arms)
        return join_arms(
            [np.asarray(file[f"{arm}_WAVELENGTH"].data, np.float64) for arm in arms],
            [rows(f"{arm}_FLUX") for arm in arms],
            [rows(f"{arm}_IVAR") for arm in arms],
            # Some reductions have no mask and set ivar to 0 instead.
            [rows(f"{arm}_MASK") if f"{arm}_MASK" in file else None for arm in arms],
            grid_L,
        )


def _arm_samples(file: fits.HDUList, arm: str, grid_L: np.ndarray) -> np.ndarray:
    try:
        return grid_samples(file[f"{arm}_WAVELENGTH"].data, grid_L)
    except InputError as error:
        raise ValueError(f"{arm}_WAVELENGTH: {error}") from None
