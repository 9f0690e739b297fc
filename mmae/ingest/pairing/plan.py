"""The plan of a paired survey: one Parquet file per sky cell, with one row per galaxy and the locations of its data.

Cells are HEALPix pixels, divided until none has more than the given number of rows, and named as in HATS
(https://www.ivoa.net/documents/Notes/HATS): Norder=<order>/Dir=<10000 x>/Npix=<pixel>, NESTED numbering.

Shape suffix: N objects.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmae.astro.healpix import FINEST, nested_cell
from mmae.core.files import file_hash, partial_path
from mmae.ingest.files import FITS_ENDINGS
from mmae.ingest.ids import distinct_names, repeated, with_origin
from mmae.ingest.pairing.index import Index
from mmae.ingest.pairing.objects import NONE
from mmae.survey.source import Chunk


def divide_sky(ra_N: np.ndarray, dec_N: np.ndarray, most_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """The HEALPix order (N,) and pixel (N,) of each position's cell: the largest with at most `most_rows` rows.

    A cell of the finest order may have more.
    """
    finest_N = nested_cell(ra_N, dec_N, FINEST)
    order_N, pixel_N = np.full(len(finest_N), FINEST), finest_N.copy()
    open_N = np.arange(len(finest_N))
    for order in range(FINEST):
        cell, count = np.unique(finest_N[open_N] >> 2 * (FINEST - order), return_counts=True)
        small = np.isin(finest_N[open_N] >> 2 * (FINEST - order), cell[count <= most_rows])
        done_N, open_N = open_N[small], open_N[~small]
        order_N[done_N], pixel_N[done_N] = order, finest_N[done_N] >> 2 * (FINEST - order)
        if not len(open_N):
            break
    return order_N, pixel_N


def cell_name(order: int, pixel: int) -> str:
    """The name of a cell as in HATS."""
    return f"Norder={order}/Dir={pixel // 10000 * 10000}/Npix={pixel}"


def object_ids(index: Index, objects: dict[str, np.ndarray]) -> pa.Array:
    """The id (N,) of each object: that of its catalogue row, the name of its stamp or its TARGETID.

    Ids that occur more than once (a target in two coadds, a stamp named as a catalogue row) are prefixed by their file.
    """
    catalogue, stamps, spectra = (
        _take(table.select(columns), objects[kind])
        for kind, table, columns in (
            ("catalogue", index.catalogue, ["object_id"]),
            ("stamps", index.stamps, ["name"]),
            ("spectra", index.spectra, ["targetid", "file", "row", "object_id"]),
        )
    )
    of_spectrum = pc.coalesce(spectra["object_id"], pc.cast(spectra["targetid"], pa.string()))
    names = pc.coalesce(catalogue["object_id"], stamps["name"], of_spectrum)
    names = names.combine_chunks()
    if not repeated(names).any():
        return names
    short = distinct_names(index.spectra["file"].unique().to_pylist(), FITS_ENDINGS)
    file_N = pa.array([short.get(path) for path in spectra["file"].to_pylist()], pa.string())
    names = with_origin(names, file_N, spectra["row"].combine_chunks())
    is_stamp = pc.and_(catalogue["object_id"].is_null(), stamps["name"].is_valid())
    file_N = pc.if_else(is_stamp, pa.scalar("stamps"), pa.scalar(None, pa.string())).combine_chunks()
    return with_origin(names, file_N, pa.array(objects["stamps"]))


def write_plan(
    index: Index, objects: dict[str, np.ndarray], names: pa.Array, folder: Path, most_rows: int
) -> list[Chunk]:
    """Write the files of the plan; returns the chunks of the build, sorted by HEALPix pixel.

    Args:
        names: (N,) object_ids.
    """
    chunks = []
    for name, rows in _parts(objects["ra"], objects["dec"], most_rows):
        path = folder / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = partial_path(path)
        here = {key: column[rows] for key, column in objects.items()}
        pq.write_table(_plan_rows(index, here, names.take(pa.array(rows))), partial)
        partial.rename(path)
        chunks.append({"name": name, "plan": str(path), "rows": len(rows), "blake2b": file_hash(path)})
    return chunks


def _parts(ra_N: np.ndarray, dec_N: np.ndarray, most_rows: int) -> Iterator[tuple[str, np.ndarray]]:
    """The names of the chunks and their rows: sky cells, or consecutive rows if there are no positions."""
    if np.isnan(ra_N).all():
        for start in range(0, len(ra_N), most_rows):
            yield f"rows/{start:09d}", np.arange(start, min(start + most_rows, len(ra_N)))
        return
    order_N, pixel_N = divide_sky(ra_N, dec_N, most_rows)
    change = np.flatnonzero((np.diff(order_N) != 0) | (np.diff(pixel_N) != 0)) + 1
    for rows in np.split(np.arange(len(order_N)), change):
        yield cell_name(int(order_N[rows[0]]), int(pixel_N[rows[0]])), rows


def _plan_rows(index: Index, objects: dict[str, np.ndarray], names: pa.Array) -> pa.Table:
    catalogue, spectra, stamps, patches = (
        _take(table, objects[kind])
        for kind, table in (
            ("catalogue", index.catalogue),
            ("spectra", index.spectra),
            ("stamps", index.stamps),
            ("patches", index.patches),
        )
    )
    labels = _take(index.redshifts, _find(index.redshifts["targetid"].to_numpy(), spectra["targetid"]))
    trusted = pc.fill_null(pc.equal(labels["zwarn"], 0), False)
    return pa.table(
        {
            "object_id": names,
            "ra": objects["ra"],
            "dec": objects["dec"],
            "targetid": spectra["targetid"],
            "redshift": pc.if_else(trusted, labels["redshift"], catalogue["redshift"]),
            "redshift_err": pc.if_else(trusted, labels["redshift_err"], catalogue["redshift_err"]),
            "zwarn": labels["zwarn"],
            "untrusted_redshift": pc.if_else(trusted, pa.scalar(None, pa.float64()), labels["redshift"]),
            "fiberstatus": spectra["fiberstatus"],
            "morphtype": pc.coalesce(catalogue["morphtype"], spectra["morphtype"]),
            "magnitudes": catalogue["magnitudes"],
            "magnitude_errors": catalogue["magnitude_errors"],
            "catalogue_file": catalogue["file"].cast(pa.string()),
            "catalogue_row": catalogue["row"],
            "spectrum_file": spectra["file"],
            "spectrum_row": spectra["row"],
            "image_planes": pc.coalesce(stamps["planes"], patches["planes"]),
            "image_wcs": pc.coalesce(stamps["wcs"], patches["wcs"]),
            "image_name": pc.coalesce(stamps["name"], patches["name"]),
            # A stamp is cropped about its centre, a patch about the galaxy.
            "cut_at_position": pa.array(objects["stamps"] == NONE),
        }
    )


def _take(table: pa.Table, row_N: np.ndarray) -> pa.Table:
    """Rows of a table, null where the row is -1."""
    return table.take(pa.array(row_N, mask=row_N == NONE))


def _find(sorted_ids: np.ndarray, ids: pa.ChunkedArray) -> np.ndarray:
    """The index of each id in `sorted_ids`, -1 if it does not occur."""
    id_N = ids.fill_null(NONE).to_numpy()
    row_N = np.searchsorted(sorted_ids, id_N)
    found = (row_N < len(sorted_ids)) & (id_N != NONE)
    found[found] = sorted_ids[row_N[found]] == id_N[found]
    return np.where(found, row_N, NONE)
