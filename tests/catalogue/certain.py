"""A catalogue in which p(z) of each galaxy is a narrow peak at a given redshift."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmae.catalogue.pz_code import encode_pz
from mmae.catalogue.read import read_format, read_pixels
from mmae.catalogue.rows import PZ_CDF, PZ_EDGE, REDSHIFTS


def gaussian_pz(z_N: np.ndarray, sigma_N: np.ndarray | float, edges_K1: np.ndarray) -> np.ndarray:
    """Probability (N, K) of bins under a Gaussian of width sigma in ln(1+z), on a floor of 1%."""
    centre_K = 0.5 * (edges_K1[1:] + edges_K1[:-1])
    sigma_N1 = np.broadcast_to(sigma_N, len(z_N))[:, None]
    p_NK = np.exp(-0.5 * ((centre_K - np.log1p(z_N)[:, None]) / sigma_N1) ** 2)
    p_NK /= p_NK.sum(1, keepdims=True)
    return 0.99 * p_NK + 0.01 / len(centre_K)


def set_pz(catalogue: Path, z_of: Mapping[str, float], sigma: float = 0.004) -> None:
    """Replace p(z), and all redshifts, of the galaxies of a catalogue; null for those not in `z_of`."""
    row_format = read_format(catalogue)
    for pixel in read_pixels(catalogue):
        path = catalogue / "dataset" / pixel.path
        table = pq.read_table(path, partitioning=None)
        z_N = np.array([z_of.get(name, np.nan) for name in table["object_id"].to_pylist()])
        p_NK = gaussian_pz(z_N, sigma, row_format.edges_K1())
        for name, codes_NQ in zip((PZ_EDGE, PZ_CDF), encode_pz(p_NK, row_format.edges_K1()), strict=True):
            lists = pa.FixedSizeListArray.from_arrays(pa.array(codes_NQ.ravel()), codes_NQ.shape[1])
            table = table.set_column(table.column_names.index(name), table.schema.field(name), lists)
        for name in REDSHIFTS:
            values = pa.array(z_N.astype(np.float32), from_pandas=True)
            table = table.set_column(table.column_names.index(name), table.schema.field(name), values)
        pq.write_table(table, path)
