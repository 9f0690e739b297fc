"""Fits of the spectra of all sources, in this process or on a Ray cluster, and the adopted spectral index.

Each fit depends only on the points of its source, so that one process and many give the same numbers.

Shape suffixes: N sources, P points.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from astropy.table import Table

from mmae.core.progress import ProgressBar
from mmae.steepspec.config import SEDSettings
from mmae.steepspec.spectra.sed import SEDFit, fit_sed
from mmae.steepspec.spectra.two_point import probability_steep

FITTED = ("alpha", "alpha_err", "p_steep", "curvature", "curvature_err", "chi2", "dof", "n_detections", "n_limits")
CHUNK = 2000  # fits per task, which take a few seconds
_POINT_FIELDS = ("frequency_mhz", "flux_mjy", "error_mjy", "scale_error", "is_limit", "beam_arcsec")

Points = dict[str, np.ndarray]


def fit_spectra(points: Table, n: int, settings: SEDSettings, on_ray: bool = False) -> dict[str, np.ndarray]:
    """The fits of N sources, as (N,) columns of `schema.SOURCES`.

    Sources with a single point are not fitted: they have counts, the other columns are NaN.

    Args:
        points: `schema.POINTS`, sorted by source.
        n: number of sources.
        on_ray: distribute the fits over the Ray cluster (started if there is none).
    """
    source_P = np.asarray(points["source"])
    first = np.searchsorted(source_P, np.arange(n + 1))
    values = {name: np.asarray(points[name]) for name in _POINT_FIELDS}
    detected_N = np.bincount(source_P[~values["is_limit"]], minlength=n)
    fittable = np.flatnonzero((np.diff(first) > 1) & (detected_N > 0))
    chunks = [
        [{name: column[first[i] : first[i + 1]] for name, column in values.items()} for i in part]
        for part in np.array_split(fittable, range(CHUNK, len(fittable), CHUNK))
    ]
    fits = (fit for part in _fitted(chunks, settings, on_ray) for fit in part)
    columns = {name: np.full(n, np.nan) for name in (*FITTED, "sed_flux_mjy", "sed_flux_err_mjy")}
    columns["curvature"][:] = columns["dof"][:] = 0
    columns["n_detections"][:], columns["n_limits"][:] = detected_N, np.diff(first) - detected_N
    flags = np.full(n, "", "U128")
    progress = ProgressBar(
        zip(fittable, fits, strict=True), total=len(fittable), desc="spectra", unit="source", leave=False
    )
    for i, fit in progress:
        for name in FITTED:
            columns[name][i] = getattr(fit, name)
        columns["sed_flux_mjy"][i], columns["sed_flux_err_mjy"][i] = fit.flux_mjy, fit.flux_err_mjy
        flags[i] = ",".join(fit.flags)
    integers = {name: columns[name].astype(np.int64) for name in ("dof", "n_detections", "n_limits")}
    return columns | integers | {"sed_flags": flags}


def _fitted(chunks: list[list[Points]], settings: SEDSettings, on_ray: bool) -> Iterator[list[SEDFit]]:
    """The fits of each chunk, in order."""
    if not on_ray:
        yield from (fit_chunk(chunk, settings) for chunk in chunks)
        return
    import ray  # imported here: a search on this machine does not need it

    from mmae.core.ray_setup import start_ray

    start_ray()
    task = ray.remote(fit_chunk)
    yield from (ray.get(reference) for reference in [task.remote(chunk, settings) for chunk in chunks])


def fit_chunk(chunk: list[Points], settings: SEDSettings) -> list[SEDFit]:
    """The fits of the sources of a chunk; each source is a dict of (P,) arrays named as in `schema.POINTS`."""
    return [
        fit_sed(
            p["frequency_mhz"],
            p["flux_mjy"],
            p["error_mjy"],
            p["scale_error"],
            p["is_limit"],
            p["beam_arcsec"],
            settings,
        )
        for p in chunk
    ]


def adopt_index(columns: dict[str, np.ndarray], settings: SEDSettings) -> dict[str, np.ndarray]:
    """Adopted `alpha`, its error and origin, P(steep), and whether the source is steep.

    In order of preference: the fit of two detections or more (`sed`); the index of the radio catalogue
    (`catalogue`); the fit of one detection, or several at nearly one frequency, and limits (`limits`). A fit with an
    error above `settings.max_alpha_err` does not replace the index of the catalogue. A source is steep if alpha is
    below `settings.steep_alpha` and its error, where known, is not above `settings.max_alpha_err`; `limits` are never
    called steep, because their alpha depends on the prior.

    Args:
        columns: those of `fit_spectra`, and alpha_catalogue and alpha_catalogue_err.
    """
    fitted_N = np.isfinite(columns["alpha"]) & np.isfinite(columns["alpha_err"])
    has_slope_N = columns["n_detections"] >= 2
    if "sed_flags" in columns:
        has_slope_N = has_slope_N & (np.char.find(columns["sed_flags"], "no_lever_arm") < 0)
    known_N = np.isfinite(columns["alpha_catalogue"])
    loose_N = columns["alpha_err"] > settings.max_alpha_err
    # Of two indices that constrain nothing, the one with the smaller error.
    worse_N = loose_N & known_N & ~(columns["alpha_catalogue_err"] > columns["alpha_err"])
    sed_N = fitted_N & has_slope_N & ~worse_N
    catalogue_N = ~sed_N & known_N
    limits_N = ~sed_N & ~catalogue_N & fitted_N & ~has_slope_N
    error_N = np.select([catalogue_N, sed_N | limits_N], [columns["alpha_catalogue_err"], columns["alpha_err"]], np.nan)
    alpha_N = np.select([catalogue_N, sed_N | limits_N], [columns["alpha_catalogue"], columns["alpha"]], np.nan)
    from_N = np.select([sed_N, catalogue_N, limits_N], ["sed", "catalogue", "limits"], "")
    p_N = probability_steep(columns["alpha_catalogue"], columns["alpha_catalogue_err"], settings.steep_alpha)
    return {
        "alpha": alpha_N,
        "alpha_err": error_N,
        "alpha_from": from_N,
        "p_steep": np.where(catalogue_N, p_N, columns["p_steep"]),
        "steep": (sed_N | catalogue_N) & (alpha_N < settings.steep_alpha) & ~(error_N > settings.max_alpha_err),
    }
