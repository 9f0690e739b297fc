"""Fit the joint distribution of emission-line widths used by the simulated survey.

    python docs/fits/line_widths.py ../shared/data/galaxies/desi_bgs_line_ews.parquet

writes mmae/simulation/line_widths.json. The table holds rest-frame equivalent widths and
ivar of 43,752 galaxies of the DESI Bright Galaxy Survey. A Gaussian mixture of the log10 widths is
fitted, deconvolved from the errors of each galaxy (extreme deconvolution: Bovy, Hogg & Roweis 2011,
equations 14 to 16).

Shape suffixes: N galaxies, E lines, G mixture components.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from sklearn.mixture import GaussianMixture
from tqdm import trange

from mmae.astro.lines import LINE_NAMES

COMPONENTS, ITERATIONS, TOLERANCE, SEED = 4, 150, 1e-5, 0
OUT = Path(__file__).parents[2] / "mmae/simulation/line_widths.json"
# Widths outside these limits are excluded: below 5% of their error, or failed fits.
MIN_SIGNAL_TO_NOISE, MAX_WIDTH = 0.05, 1e3
ERROR_RANGE = (0.01, 1.0)  # dex
FLOOR = 1e-4  # added to variances, dex^2: prevents a component from collapsing


def load(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """log10 widths and their errors, both (N,E)."""
    columns = [f"{kind}{name}" for kind in ("ew_", "ew_ivar_") for name in LINE_NAMES]
    table = pq.read_table(path, columns=columns)
    width_NE = np.stack([table[f"ew_{name}"].to_numpy() for name in LINE_NAMES], axis=1)
    error_NE = np.stack([table[f"ew_ivar_{name}"].to_numpy() ** -0.5 for name in LINE_NAMES], axis=1)
    good_N = ((width_NE > MIN_SIGNAL_TO_NOISE * error_NE) & (width_NE < MAX_WIDTH)).all(axis=1)
    width_NE, error_NE = width_NE[good_N], error_NE[good_N]
    return np.log10(width_NE), np.clip(error_NE / width_NE / np.log(10), *ERROR_RANGE)


def fit(x_NE: np.ndarray, error_NE: np.ndarray) -> dict[str, list]:
    """Weights, means and covariances of the noise-free mixture."""
    start = GaussianMixture(COMPONENTS, random_state=SEED, n_init=2, reg_covar=1e-3).fit(x_NE)
    weight_G, mean_GE, covariance_GEE = start.weights_, start.means_, start.covariances_
    identity_EE, last = np.eye(x_NE.shape[1]), -np.inf
    for _ in trange(ITERATIONS, desc="deconvolution"):
        log_NG, expected, spread = [], [], []
        for weight, mean_E, covariance_EE in zip(weight_G, mean_GE, covariance_GEE, strict=True):
            total_NEE = covariance_EE + error_NE[:, :, None] ** 2 * identity_EE
            inverse_NEE = np.linalg.inv(total_NEE)
            offset_NE = x_NE - mean_E
            scaled_NE = np.einsum("nij,nj->ni", inverse_NEE, offset_NE)
            log_NG.append(
                np.log(weight) - 0.5 * (np.linalg.slogdet(total_NEE)[1] + (offset_NE * scaled_NE).sum(axis=1))
            )
            expected.append(mean_E + scaled_NE @ covariance_EE)
            spread.append(covariance_EE - covariance_EE @ inverse_NEE @ covariance_EE)
        log_NG = np.stack(log_NG, axis=1)
        log_N = np.logaddexp.reduce(log_NG, axis=1)
        share_NG = np.exp(log_NG - log_N[:, None])
        weight_G = share_NG.mean(axis=0)
        for g in range(COMPONENTS):
            total = share_NG[:, g].sum()
            mean_GE[g] = share_NG[:, g] @ expected[g] / total
            offset_NE = expected[g] - mean_GE[g]
            covariance_GEE[g] = (
                (offset_NE * share_NG[:, g, None]).T @ offset_NE + np.einsum("n,nij->ij", share_NG[:, g], spread[g])
            ) / total
            covariance_GEE[g] += FLOOR * identity_EE
        if abs(log_N.mean() - last) < TOLERANCE:
            break
        last = log_N.mean()
    return {
        "weight": weight_G.round(4).tolist(),
        "mean": mean_GE.round(4).tolist(),
        "covariance": covariance_GEE.round(5).tolist(),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("table", type=Path)
    mixture = fit(*load(parser.parse_args().table))
    OUT.write_text(json.dumps({"lines": LINE_NAMES, "unit": "log10 rest-frame Angstrom", **mixture}) + "\n")
    print(f"{OUT}: weights {mixture['weight']}")
