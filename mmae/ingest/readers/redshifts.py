"""Redshift tables with TARGETID and Z: redrock, zbest and catalogues in FITS.

File layout: https://desidatamodel.readthedocs.io, redrock-*.fits.

Shape suffix: N rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from astropy.io import fits

from mmae.ingest.files import open_fits, require_whole
from mmae.ingest.readers.values import is_label

REDSHIFTS = pa.schema(
    [
        ("targetid", pa.int64()),
        ("redshift", pa.float64()),
        ("redshift_err", pa.float64()),
        ("zwarn", pa.int64()),
        ("deltachi2", pa.float64()),
    ]
)


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
        zwarn_N, redshift_N = integers(table, "ZWARN"), numbers(table, "Z")
        return pa.table(
            {
                "targetid": np.asarray(table["TARGETID"], np.int64),
                "redshift": redshift_N,
                "redshift_err": numbers(table, "ZERR"),
                "zwarn": zwarn_N.fill_null(0),
                "deltachi2": np.nan_to_num(numbers(table, "DELTACHI2")),
            },
            schema=REDSHIFTS,
        ).filter(pa.array(is_label(redshift_N)))


def best_redshifts(table: pa.Table) -> pa.Table:
    """One row per targetid, sorted by it: ZWARN 0 is preferred, then the largest DELTACHI2."""
    trusted_N = table["zwarn"].to_numpy() == 0
    order_N = np.lexsort((-table["deltachi2"].to_numpy(), ~trusted_N, table["targetid"].to_numpy()))
    target_N = table["targetid"].to_numpy()[order_N]
    return table.take(order_N[np.diff(target_N, prepend=target_N[0] - 1 if len(target_N) else 0) != 0])


def numbers(table: Any, name: str) -> np.ndarray:
    """A column (N,) as float64; NaN if the table does not have it."""
    return np.asarray(table[name], np.float64) if name in table.names else np.full(len(table), np.nan)


def integers(table: Any, *names: str) -> pa.Array:
    """The first existing one of these columns (N,) as int64; null if there is none."""
    name = next((name for name in names if name in table.names), None)
    return pa.nulls(len(table), pa.int64()) if name is None else pa.array(np.asarray(table[name], np.int64))
