"""Writes p(z) in the format of the package `qp` (qp-prob, LSST DESC), also used by RAIL's metrics.

Shape suffixes: N galaxies, K bins.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from mmae.core.errors import InputError
from mmae.core.files import partial_path
from mmae.metrics.pz_distribution import RedshiftPDF

SUFFIX = ".hdf5"  # qp selects the format by the suffix and reads .h5 as a pandas table


def write_qp(path: str | Path, pdf: RedshiftPDF, object_id_N: Sequence[str] | np.ndarray) -> Path:
    """Write p(z) as a `hist` ensemble in HDF5, readable by `qp.read(path)` (tested with qp-prob 1.1.4).

    `meta/bins` contains the edges in z, `data/pdfs` (N, K) the mean density in z of every bin, and
    `ancil` the object_id and point estimates zmean, zmedian and zmode, with RAIL's names.

    A `hist` is uniform in z within a bin, `RedshiftPDF` is uniform in ln(1+z). The CDF at the edges is the same;
    in between it differs by at most 1/8 of the bin's width in ln(1+z) times its probability: 0.0013
    at most for 192 bins to z = 6, if one bin contains everything. Use `zmean` for the mean: qp
    1.1.4 computes it with the width of the first bin for all bins.

    Args:
        path: must end in .hdf5; an existing file is replaced.
        object_id_N: one id per galaxy.

    Raises:
        InputError: a wrong suffix, no galaxies, or not one id per galaxy.
        OSError: the file cannot be written.
    """
    path, names_N = Path(path), np.asarray(object_id_N, str)
    if path.suffix != SUFFIX:
        raise InputError(f"{path}: qp reads this format only from files with the suffix {SUFFIX}; rename it.")
    if names_N.shape != (len(pdf),) or not len(pdf):
        raise InputError(
            f"{path}: {len(pdf)} p(z) and object ids of shape {names_N.shape}; give at least one p(z) and one id per "
            f"p(z)."
        )
    tables = {
        # qp reads only the first element of a one-dimensional meta column, so the edges are two-dimensional.
        "meta": {"pdf_name": np.array([b"hist"]), "pdf_version": np.array([0]), "bins": pdf.z_edges_K1[None]},
        "data": {"pdfs": (pdf.probability_NK / np.diff(pdf.z_edges_K1)).astype(np.float32)},
        "ancil": {
            "object_id": np.char.encode(names_N, "utf-8"),
            "zmean": pdf.mean(),
            "zmedian": pdf.quantile(0.5),
            "zmode": pdf.mode(),
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = partial_path(path)
    try:
        with h5py.File(unfinished, "w") as file:
            for table, columns in tables.items():
                for name, column in columns.items():
                    file[f"{table}/{name}"] = column
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path
