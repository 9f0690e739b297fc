"""Match of catalogue rows, stamps and spectra to objects on the sky.

Shape suffixes: N objects, M rows of the joined table.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmae.astro.crossmatch import move_to_epoch
from mmae.astro.crossmatch_tables import SkyTable, match_tables
from mmae.astro.healpix import FINEST, nested_cell, on_sky
from mmae.ingest.pairing.config import PairConfig
from mmae.ingest.pairing.images import choose_patch
from mmae.ingest.pairing.index import Index
from mmae.survey.schema import SurveySpec

KINDS = ("catalogue", "stamps", "spectra")  # order of the joins; the first one with an object gives its position
NONE = -1


def join_objects(index: Index, config: PairConfig, spec: SurveySpec, scratch: Path) -> dict[str, np.ndarray]:
    """One row per galaxy, sorted by HEALPix pixel: `ra`, `dec` (degrees), and its row in each table of the index,
    -1 if none: `catalogue`, `stamps`, `spectra`, `patches`.

    Tables are joined one after the other: a row that matches an object is added to it, others become new objects.
    """
    objects = {name: np.zeros(0) for name in ("ra", "dec", "match_ra", "match_dec")}
    objects |= {kind: np.zeros(0, np.int64) for kind in KINDS}
    for kind in KINDS:
        objects = _join(objects, kind, getattr(index, kind), config, scratch / kind)
    objects["patches"] = np.full(len(objects["ra"]), NONE)
    unstamped_N = objects["stamps"] == NONE
    objects["patches"][unstamped_N] = choose_patch(
        index.patches, objects["ra"][unstamped_N], objects["dec"][unstamped_N], spec
    )
    cell_N = nested_cell(objects["ra"], objects["dec"], FINEST)
    order_N = np.lexsort((objects["spectra"], objects["stamps"], objects["catalogue"], cell_N))
    return {name: column[order_N] for name, column in objects.items() if not name.startswith("match_")}


def rows_as_objects(catalogue: pa.Table) -> dict[str, np.ndarray]:
    """One object per catalogue row, without positions; as `join_objects`."""
    n = len(catalogue)
    objects = {kind: np.full(n, NONE) for kind in (*KINDS, "patches")} | {"catalogue": np.arange(n)}
    return objects | {name: np.full(n, np.nan) for name in ("ra", "dec")}


def _join(
    objects: dict[str, np.ndarray], kind: str, table: pa.Table, config: PairConfig, scratch: Path
) -> dict[str, np.ndarray]:
    ra_M, dec_M = (table[name].fill_null(np.nan).to_numpy() for name in ("ra", "dec"))
    match_ra_M, match_dec_M = _at_epoch(table, ra_M, dec_M, config.epoch)
    row_M = np.flatnonzero(on_sky(ra_M, dec_M))
    partner_M = np.full(len(table), NONE)
    if len(row_M) and len(objects["ra"]):
        first = _sky_table(scratch / "table.parquet", match_ra_M[row_M], match_dec_M[row_M])
        second = _sky_table(scratch / "objects.parquet", objects["match_ra"], objects["match_dec"])
        pairs = match_tables(first, second, config.radius, scratch / "match", config.match, config.engine)
        partner_M[row_M[pairs.index1]] = pairs.index2
    new_M = np.flatnonzero(partner_M == NONE)
    new_M = new_M[on_sky(ra_M[new_M], dec_M[new_M])]
    joined_M = np.flatnonzero(partner_M != NONE)
    _, first_use = np.unique(partner_M[joined_M], return_index=True)
    repeated_M = np.delete(joined_M, first_use)  # the object already has another row: it is duplicated
    joined_M = joined_M[first_use]
    result = {name: column.copy() for name, column in objects.items()}
    result[kind] = np.full(len(objects["ra"]), NONE)
    result[kind][partner_M[joined_M]] = joined_M
    copies = {name: column[partner_M[repeated_M]] for name, column in objects.items()} | {kind: repeated_M}
    added = {other: np.full(len(new_M), NONE) for other in KINDS} | {
        kind: new_M,
        "ra": ra_M[new_M],
        "dec": dec_M[new_M],
        "match_ra": match_ra_M[new_M],
        "match_dec": match_dec_M[new_M],
    }
    return {name: np.concatenate([result[name], copies[name], added[name]]) for name in result}


def _at_epoch(table: pa.Table, ra_M: np.ndarray, dec_M: np.ndarray, epoch: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions at the epoch of the match; unchanged for rows without proper motion or epoch."""
    if "pmra" not in table.column_names:
        return ra_M, dec_M
    pmra_M, pmdec_M, epoch_M = (table[name].fill_null(np.nan).to_numpy() for name in ("pmra", "pmdec", "epoch"))
    moving_M = np.isfinite(pmra_M) & np.isfinite(pmdec_M) & (epoch_M > 0) & on_sky(ra_M, dec_M)
    ra_M, dec_M = ra_M.copy(), dec_M.copy()
    if moving_M.any():
        ra_M[moving_M], dec_M[moving_M] = move_to_epoch(
            ra_M[moving_M], dec_M[moving_M], pmra_M[moving_M], pmdec_M[moving_M], epoch_M[moving_M], epoch
        )
    return ra_M, dec_M


def _sky_table(path: Path, ra_N: np.ndarray, dec_N: np.ndarray) -> SkyTable:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"ra": ra_N, "dec": dec_N}), path, row_group_size=500_000)
    return SkyTable((path,))
