"""p(z) in a file that the package `qp` (qp-prob, LSST DESC) reads, and with it RAIL's metrics.

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

SUFFIX = ".hdf5"  # qp tells formats by it; it takes .h5 for a table of pandas


def write_qp(path: str | Path, pdf: RedshiftPDF, object_id_N: Sequence[str] | np.ndarray) -> Path:
    """Write p(z) as a `hist` ensemble in HDF5, which `qp.read(path)` opens (tried with qp-prob 1.1.4).

    `meta/bins` holds the edges in z, `data/pdfs` (N, K) the mean density in z of every bin, and
    `ancil` the object_id and point estimates zmean, zmedian and zmode, named as RAIL names them.

    A `hist` is even in z within a bin, ours is even in ln(1+z). The CDF at the edges is the same;
    in between it differs by at most 1/8 of the bin's width in ln(1+z) times its probability: 0.0013
    at most for 192 bins to z = 6, where one bin holds all. Take the mean from `zmean`: that of qp
    1.1.4 gives all bins the width of the first.

    Args:
        path: ends in .hdf5; a file there is replaced.
        object_id_N: a name for each galaxy.

    Raises:
        InputError: another ending, no galaxies, or not one name each.
        OSError: the file cannot be written.
    """
    path, names_N = Path(path), np.asarray(object_id_N, str)
    if path.suffix != SUFFIX:
        raise InputError(f"{path}: qp reads a file of this layout only if it ends in {SUFFIX}; rename it.")
    if names_N.shape != (len(pdf),) or not len(pdf):
        raise InputError(
            f"{path}: {len(pdf)} p(z) and object ids of shape {names_N.shape}; give one or more p(z) and one id each."
        )
    tables = {
        # qp takes the first element of a one-dimensional column of meta: the edges need two.
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
