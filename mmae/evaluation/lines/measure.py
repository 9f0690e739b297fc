"""Line measures of observed and reconstructed spectra, in batches.

Shape suffixes: B galaxies of a batch, L wavelength samples, E lines with a truth (LINE_NAMES of the
simulation), W samples of a window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmae.astro.lines import LINE_NAMES
from mmae.core.errors import InputError
from mmae.evaluation.lines.catalogue import BLENDS, KEYS, LINES, Blend
from mmae.evaluation.lines.fit import CORE, BlendFit, LineFit, fit_blend, window_covered, window_of
from mmae.evaluation.lines.measures import EXAMPLE_LINES, EXAMPLE_SIGNAL, Example, LineMeasures, as_fits, first_examples

MIN_SIGNAL = 3.0  # S/N of the observed line's flux, required to fit the reconstruction
MIN_HIDDEN = 0.5  # hidden fraction of a line's core, required to test the model


@dataclass(frozen=True)
class Reconstruction:
    """Reconstructions of B partly visible spectra.

    Attributes:
        flux_BL: flux densities, in the unit of the observed ones.
        visible_BL: samples visible to the encoder (bool). The decoder is not trained on them; they
            are excluded.
    """

    flux_BL: np.ndarray
    visible_BL: np.ndarray


def measure_lines(
    wavelength_L: np.ndarray,
    flux_BL: np.ndarray,
    ivar_BL: np.ndarray,
    redshift_B: np.ndarray,
    reconstructions: Mapping[str, Reconstruction],
    *,
    true_ew_BE: np.ndarray | None = None,
    names_B: Sequence[str] | None = None,
    fit_B: np.ndarray | None = None,
) -> LineMeasures:
    """Fit the lines of a batch, in one to three milliseconds per blend and spectrum.

    The observed spectrum is fitted in all its good samples, which determines the S/N, and
    again in the hidden samples, where the reconstruction is fitted with the same weights. Lines
    fainter than S/N 3 are not fitted in reconstructions.

    Args:
        wavelength_L: Angstrom, vacuum, evenly spaced.
        flux_BL: flux densities.
        ivar_BL: inverse variances; 0 = bad sample, all 0 = no spectrum.
        redshift_B: labels; NaN where unknown.
        reconstructions: situation ("75% masked") -> reconstructed spectra of the batch.
        true_ew_BE: true rest-frame equivalent widths in the order of LINE_NAMES, Angstrom; NaN where unknown.
        names_B: names of the galaxies, for the examples.
        fit_B: galaxies to fit (bool); all by default.

    Raises:
        InputError: arrays of inconsistent shapes.
    """
    flux_BL, ivar_BL = np.asarray(flux_BL), np.asarray(ivar_BL)
    redshift_B = np.asarray(redshift_B, np.float64)
    n = len(redshift_B)
    true_ew_BE = np.full((n, len(LINE_NAMES)), np.nan) if true_ew_BE is None else np.asarray(true_ew_BE, np.float64)
    _check(
        wavelength_L,
        n,
        {
            "flux": flux_BL,
            "ivar": ivar_BL,
            **{
                f"{name}, {what}": values
                for name, r in reconstructions.items()
                for what, values in (("flux", r.flux_BL), ("visible", r.visible_BL))
            },
        },
    )
    usable_B = np.isfinite(redshift_B) & (ivar_BL > 0).any(axis=1)
    chosen_B = usable_B if fit_B is None else usable_B & fit_B
    rows: list[_Row] = []
    examples: list[Example] = []
    for galaxy, b in enumerate(np.flatnonzero(chosen_B)):
        spectrum = _Spectrum(
            galaxy,
            str(b if names_B is None else names_B[b]),
            float(redshift_B[b]),
            wavelength_L,
            flux_BL[b],
            ivar_BL[b],
            {name: (r.flux_BL[b], r.visible_BL[b]) for name, r in reconstructions.items()},
            dict(zip(LINE_NAMES, true_ew_BE[b], strict=True)),
        )
        for blend in BLENDS:
            found = _measure_blend(spectrum, blend)
            if found is not None:
                rows += found.rows
                examples += _as_example(spectrum, found)
    return LineMeasures(
        int(usable_B.sum()),
        int(chosen_B.sum()),
        np.array([r.galaxy for r in rows], np.int64),
        np.array([r.line for r in rows], np.int64),
        np.array([r.redshift for r in rows], np.float64),
        np.array([r.true_ew for r in rows], np.float64),
        as_fits([r.observed for r in rows]),
        {name: np.array([name in r.hidden for r in rows], bool) for name in reconstructions},
        {name: as_fits([r.target.get(name) for r in rows]) for name in reconstructions},
        {name: as_fits([r.reconstructed.get(name) for r in rows]) for name in reconstructions},
        first_examples(examples),
    )


@dataclass(frozen=True)
class _Spectrum:
    galaxy: int
    name: str
    redshift: float
    wavelength_L: np.ndarray
    flux_L: np.ndarray
    ivar_L: np.ndarray
    reconstructions: dict[str, tuple[np.ndarray, np.ndarray]]  # situation -> flux_L, visible_L
    true_ew: dict[str, float]


@dataclass(frozen=True)
class _Row:
    galaxy: int
    line: int
    redshift: float
    true_ew: float
    observed: LineFit
    hidden: list[str]  # situations
    target: dict[str, LineFit]
    reconstructed: dict[str, LineFit]


@dataclass(frozen=True)
class _BlendMeasures:
    """Fits of one blend of one galaxy."""

    blend: Blend
    rows: list[_Row]
    observed: BlendFit
    reconstructed: dict[str, BlendFit]


def _measure_blend(spectrum: _Spectrum, blend: Blend) -> _BlendMeasures | None:
    observed = fit_blend(blend, spectrum.wavelength_L, spectrum.flux_L, spectrum.ivar_L, spectrum.redshift)
    if observed is None:
        return None
    bright = any(fit.signal >= MIN_SIGNAL for fit in observed.lines.values())
    hidden: dict[str, list[str]] = {key: [] for key in observed.lines}
    target: dict[str, BlendFit] = {}
    found: dict[str, BlendFit] = {}
    for situation, (flux_L, visible_L) in spectrum.reconstructions.items():
        ivar_L = np.where(visible_L, 0.0, spectrum.ivar_L)
        if not window_covered(blend, spectrum.wavelength_L, ivar_L, spectrum.redshift):
            continue
        keys = [key for key, fit in observed.lines.items() if _core_hidden(spectrum, key, fit, visible_L)]
        if bright and keys:
            inside = window_of(blend, spectrum.wavelength_L, spectrum.redshift)
            observed_hidden = (
                fit_blend(blend, spectrum.wavelength_L, spectrum.flux_L, ivar_L, spectrum.redshift)
                if visible_L[inside].any()
                else observed
            )
            reconstructed = fit_blend(blend, spectrum.wavelength_L, flux_L, ivar_L, spectrum.redshift)
            target |= {situation: observed_hidden} if observed_hidden is not None else {}
            found |= {situation: reconstructed} if reconstructed is not None else {}
            # A line that cannot be fitted in the hidden samples of the observed spectrum cannot be compared.
            keys = [key for key in keys if observed_hidden is not None and key in observed_hidden.lines]
        for key in keys:
            hidden[key].append(situation)

    def of(fits: dict[str, BlendFit], key: str) -> dict[str, LineFit]:
        return {s: fit.lines[key] for s, fit in fits.items() if key in fit.lines and s in hidden[key]}

    rows = [
        _Row(
            spectrum.galaxy,
            LINES.index(line),
            spectrum.redshift,
            spectrum.true_ew.get(line.truth, np.nan),
            observed.lines[line.key],
            hidden[line.key],
            of(target, line.key),
            of(found, line.key),
        )
        for line in blend.lines
        if line.key in observed.lines
    ]
    return _BlendMeasures(blend, rows, observed, found)


def _core_hidden(spectrum: _Spectrum, key: str, fit: LineFit, visible_L: np.ndarray) -> bool:
    """At least half of the cores of all members of a line was hidden from the encoder."""
    line = LINES[KEYS.index(key)]
    core_L = np.zeros(visible_L.size, bool)
    for wavelength, _ in line.members:
        middle, reach = np.multiply((fit.centre, CORE * fit.sigma), wavelength / line.wavelength)
        core_L |= np.abs(spectrum.wavelength_L - middle) <= reach
    return bool((~visible_L[core_L]).mean() >= MIN_HIDDEN)


def _as_example(spectrum: _Spectrum, found: _BlendMeasures) -> list[Example]:
    """An example of the blend's first line, if it is in EXAMPLE_LINES, bright, and hidden in all situations."""
    line = found.blend.lines[0]
    row = next((r for r in found.rows if LINES[r.line] is line), None)
    if (
        row is None
        or line.key not in EXAMPLE_LINES
        or row.observed.signal < EXAMPLE_SIGNAL
        or len(row.hidden) < len(spectrum.reconstructions)
    ):
        return []
    inside = window_of(found.blend, spectrum.wavelength_L, spectrum.redshift)
    wavelength_W = spectrum.wavelength_L[inside]
    nan_W = np.full(wavelength_W.size, np.nan)
    curves = {name: fit.curve(wavelength_W) for name, fit in found.reconstructed.items()}
    reconstructed = {
        name: (np.where(visible_L, np.nan, flux_L)[inside], curves.get(name, nan_W))
        for name, (flux_L, visible_L) in spectrum.reconstructions.items()
    }
    flux_W = np.where(spectrum.ivar_L > 0, spectrum.flux_L, np.nan)[inside]
    return [
        Example(
            spectrum.name,
            line.key,
            spectrum.redshift,
            wavelength_W,
            flux_W,
            found.observed.curve(wavelength_W),
            reconstructed,
        )
    ]


def _check(wavelength_L: np.ndarray, n: int, arrays: Mapping[str, np.ndarray]) -> None:
    for name, values in arrays.items():
        if np.shape(values) != (n, wavelength_L.size):
            raise InputError(
                f"lines, {name}: shape {np.shape(values)}, expected {(n, wavelength_L.size)}: one "
                f"row per redshift, one column per wavelength."
            )
