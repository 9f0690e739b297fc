"""DESI coadds and redshift tables: index of their targets, and spectra of selected rows.

File layouts: https://desidatamodel.readthedocs.io, coadd-*.fits and redrock-*.fits.

Shape suffixes: N rows, R selected rows, L samples of the common grid, A samples of one arm.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from astropy.io import fits

from mmae.astro.desi import grid_samples, join_arms
from mmae.core.errors import InputError
from mmae.ingest.files import name_of, open_fits, require_whole
from mmae.ingest.readers.coadd import absent_arms, fibermap, present_arms
from mmae.ingest.readers.values import is_label
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
    ]
)
REDSHIFTS = pa.schema(
    [
        ("targetid", pa.int64()),
        ("redshift", pa.float64()),
        ("redshift_err", pa.float64()),
        ("zwarn", pa.int64()),
        ("deltachi2", pa.float64()),
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
                ours: _numbers(table, theirs)
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
            "fiberstatus": _integers(table, "COADD_FIBERSTATUS", "FIBERSTATUS"),
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


def index_redshifts(path: str) -> pa.Table:
    """The redshifts (REDSHIFTS) of a redrock file or any FITS table with TARGETID and Z; ZWARN is 0 if absent.

    Rows whose Z means "missing" are left out.

    Raises:
        OSError, LookupError, TypeError, ValueError: no such table can be read.
    """
    with open_fits(path) as file:
        require_whole(file, path)
        tables = [
            hdu.data
            for hdu in file
            if isinstance(hdu, fits.BinTableHDU) and {"TARGETID", "Z"} <= set(hdu.columns.names)
        ]
        if not tables:
            kind = "a coadd or spectra file; give it as spectra" if any(h.name.endswith("_FLUX") for h in file) else ""
            raise ValueError(f"no table with the columns TARGETID and Z{kind and ', but ' + kind}")
        table = tables[0]
        zwarn_N, redshift_N = _integers(table, "ZWARN"), _numbers(table, "Z")
        return pa.table(
            {
                "targetid": np.asarray(table["TARGETID"], np.int64),
                "redshift": redshift_N,
                "redshift_err": _numbers(table, "ZERR"),
                "zwarn": zwarn_N.fill_null(0),
                "deltachi2": np.nan_to_num(_numbers(table, "DELTACHI2")),
            },
            schema=REDSHIFTS,
        ).filter(pa.array(is_label(redshift_N)))


def best_redshifts(table: pa.Table) -> pa.Table:
    """One row per targetid, sorted by it: ZWARN 0 is preferred, then the largest DELTACHI2."""
    trusted_N = table["zwarn"].to_numpy() == 0
    order_N = np.lexsort((-table["deltachi2"].to_numpy(), ~trusted_N, table["targetid"].to_numpy()))
    target_N = table["targetid"].to_numpy()[order_N]
    return table.take(order_N[np.diff(target_N, prepend=target_N[0] - 1 if len(target_N) else 0) != 0])


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


def _numbers(table: Any, name: str) -> np.ndarray:
    """A column (N,) as float64; NaN if the table does not have it."""
    return np.asarray(table[name], np.float64) if name in table.names else np.full(len(table), np.nan)


def _integers(table: Any, *names: str) -> pa.Array:
    """The first existing one of these columns (N,) as int64; null if there is none."""
    name = next((name for name in names if name in table.names), None)
    return pa.nulls(len(table), pa.int64()) if name is None else pa.array(np.asarray(table[name], np.int64))
