"""Line fits of one spectrum by weighted least squares: centre, width, amplitude, flux.

Shape suffixes: L samples of a spectrum, P parameters and G lines of a blend (gaussians.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmae.astro.lines import LIGHT_SPEED_KMS
from mmae.core.errors import InputError
from mmae.evaluation.lines.catalogue import SIGMA_TO_FWHM, Blend, Line, blend_of
from mmae.evaluation.lines.gaussians import FIRST_LINE, LEVEL, SHIFT, SLOPE, SPREAD, Problem, solve

MIN_WINDOW_COVERAGE = 0.5  # required fraction of good samples in a window
MIN_CORE_COVERAGE = 0.25  # required fraction in a line's core; half of a profile determines centre and width
CORE = 2.0  # standard deviations on either side of a line's centre
MIN_SIGMA_SAMPLES = 0.5  # smallest sigma in samples; that of the spectrograph is 0.8
AT_LIMIT = 0.005  # distance from a limit, as a fraction of the range, within which a parameter is at the limit
GAUSSIAN_AREA = np.sqrt(2.0 * np.pi)


@dataclass(frozen=True)
class LineFit:
    """One fitted line, in the observed frame except for the equivalent width.

    Errors follow from the inverse variances; NaN if the fitted amplitude is zero.
    Centre, sigma and amplitude are those of the line's first member.

    Attributes:
        centre: Angstrom, vacuum.
        shift: relative to the position expected from the redshift, km/s.
        sigma: standard deviation in Angstrom, including the line-spread function.
        amplitude: height above the continuum, flux density.
        flux: flux density x Angstrom.
        continuum: at the centre, flux density.
        ew: rest-frame equivalent width, Angstrom, positive in emission; NaN if the continuum is not
            positive.
        at_limit: 1 if shift or sigma is at a limit of the fit, otherwise 0.
    """

    centre: float
    centre_error: float
    shift: float
    sigma: float
    sigma_error: float
    amplitude: float
    amplitude_error: float
    flux: float
    flux_error: float
    continuum: float
    continuum_error: float
    ew: float
    ew_error: float
    chi2: float
    dof: int
    at_limit: int

    @property
    def fwhm(self) -> float:
        """Full width at half maximum, Angstrom."""
        return SIGMA_TO_FWHM * self.sigma

    @property
    def signal(self) -> float:
        """The flux over its error."""
        return self.flux / self.flux_error


@dataclass(frozen=True)
class BlendFit:
    """Fitted lines of a blend by key, without those with too few samples in the core, and the fit parameters."""

    lines: dict[str, LineFit]
    blend: Blend
    redshift: float
    parameter_P: np.ndarray

    def curve(self, wavelength_L: np.ndarray) -> np.ndarray:
        """Flux density (L,) of continuum and lines."""
        zero_L = np.zeros(wavelength_L.size)
        return Problem(self.blend, self.redshift, wavelength_L, zero_L, zero_L, 0.0).model(self.parameter_P)


def fit_line(
    line: Line, wavelength_L: np.ndarray, flux_L: np.ndarray, ivar_L: np.ndarray, redshift: float
) -> LineFit | None:
    """Fit a line, together with the other lines of its blend.

    Args:
        wavelength_L: Angstrom, vacuum, evenly spaced.
        flux_L: flux densities; samples that are not finite are bad.
        ivar_L: inverse variances; 0 = bad sample.
        redshift: expected redshift, to within SHIFT_LIMIT.

    Returns:
        None if less than half of the window, or a quarter of the line's core, has good samples,
        or if the redshift is not finite.
    """
    found = fit_blend(blend_of(line), wavelength_L, flux_L, ivar_L, redshift)
    return None if found is None else found.lines.get(line.key)


def fit_blend(
    blend: Blend, wavelength_L: np.ndarray, flux_L: np.ndarray, ivar_L: np.ndarray, redshift: float
) -> BlendFit | None:
    """Fit all lines of a blend; arguments and None as for `fit_line`.

    Raises:
        InputError: the three arrays differ in length.
    """
    if not (wavelength_L.shape == flux_L.shape == ivar_L.shape and wavelength_L.ndim == 1):
        raise InputError(
            f"line fit: wavelength, flux and ivar have shapes {wavelength_L.shape}, "
            f"{flux_L.shape}, {ivar_L.shape}; they must be 1-D and of equal length."
        )
    ivar_L = np.where(np.isfinite(flux_L), ivar_L, 0.0)
    if not window_covered(blend, wavelength_L, ivar_L, redshift):
        return None
    inside, step = window_of(blend, wavelength_L, redshift), wavelength_L[1] - wavelength_L[0]
    good_W = ivar_L[inside] > 0
    wavelength_W, flux_W, ivar_W = (x[inside][good_W].astype(np.float64) for x in (wavelength_L, flux_L, ivar_L))
    narrowest = MIN_SIGMA_SAMPLES * step / wavelength_W.mean() * LIGHT_SPEED_KMS
    problem = Problem(blend, redshift, wavelength_W, flux_W, np.sqrt(ivar_W), narrowest)
    parameter_P = solve(problem)
    covariance_PP = _covariance(problem.jacobian(parameter_P))
    lines = {}
    for g, line in enumerate(blend.lines):
        fit = _line_fit(problem, parameter_P, covariance_PP, g)
        if _good_samples(wavelength_W, fit) >= MIN_CORE_COVERAGE * 2 * CORE * fit.sigma / step:
            lines[line.key] = fit
    return BlendFit(lines, blend, redshift, parameter_P) if lines else None


def window_covered(blend: Blend, wavelength_L: np.ndarray, ivar_L: np.ndarray, redshift: float) -> bool:
    """At least half of the samples of a blend's window are good, and more than the number of parameters."""
    if not (np.isfinite(redshift) and redshift > -1):
        return False
    samples = (blend.window[1] - blend.window[0]) * (1 + redshift) / (wavelength_L[1] - wavelength_L[0])
    good = int((ivar_L[window_of(blend, wavelength_L, redshift)] > 0).sum())
    return bool(good >= MIN_WINDOW_COVERAGE * samples and good > FIRST_LINE + len(blend.lines))


def window_of(blend: Blend, wavelength_L: np.ndarray, redshift: float) -> slice:
    """The samples in the fit window of a blend."""
    return slice(*np.searchsorted(wavelength_L, np.multiply(blend.window, 1 + redshift)))


def _good_samples(wavelength_W: np.ndarray, fit: LineFit) -> int:
    """Number of good samples in the core."""
    return int((np.abs(wavelength_W - fit.centre) <= CORE * fit.sigma).sum())


def _covariance(jacobian_PW: np.ndarray) -> np.ndarray:
    """Covariance (P,P) of the parameters; all NaN if one is not constrained by the data."""
    size_P = np.sqrt(np.square(jacobian_PW).sum(axis=1))
    if not size_P.all():  # with zero amplitude, shift and spread are undetermined
        return np.full((size_P.size, size_P.size), np.nan)
    unit_PW = jacobian_PW / size_P[:, None]
    try:
        return np.linalg.inv(unit_PW @ unit_PW.T) / np.outer(size_P, size_P)
    except np.linalg.LinAlgError:
        return np.full((size_P.size, size_P.size), np.nan)


def _line_fit(problem: Problem, parameter_P: np.ndarray, covariance_PP: np.ndarray, g: int) -> LineFit:
    line, stretch = problem.blend.lines[g], 1 + problem.redshift
    scale = line.wavelength * stretch / LIGHT_SPEED_KMS  # Angstrom per km/s
    shift, spread, amplitude = parameter_P[SHIFT], parameter_P[SPREAD], parameter_P[FIRST_LINE + g]
    centre, sigma = scale * (LIGHT_SPEED_KMS + shift), scale * spread
    offset = problem.offset(centre)
    area = sigma * GAUSSIAN_AREA * line.flux_factor
    flux = amplitude * area
    continuum = parameter_P[LEVEL] + parameter_P[SLOPE] * offset

    def error(
        shift: float = 0.0, spread: float = 0.0, level: float = 0.0, slope: float = 0.0, amplitude: float = 0.0
    ) -> float:
        """Error of a quantity from its derivatives with respect to the parameters."""
        gradient_P = np.zeros(parameter_P.size)
        gradient_P[[SHIFT, SPREAD, LEVEL, SLOPE, FIRST_LINE + g]] = shift, spread, level, slope, amplitude
        return float(np.sqrt(np.maximum(gradient_P @ covariance_PP @ gradient_P, 0.0)))

    ew = ew_error = np.nan
    if continuum > 0:
        per_flux = 1 / (continuum * stretch)
        ew = flux * per_flux
        ew_error = error(
            spread=flux / spread * per_flux,
            amplitude=area * per_flux,
            level=-ew / continuum,
            slope=-ew / continuum * offset,
        )
    residual_W = problem.residual(parameter_P)
    return LineFit(
        centre,
        error(shift=scale),
        shift,
        sigma,
        error(spread=scale),
        amplitude,
        error(amplitude=1.0),
        flux,
        error(spread=flux / spread, amplitude=area),
        continuum,
        error(level=1.0, slope=offset),
        ew,
        ew_error,
        float(residual_W @ residual_W),
        residual_W.size - parameter_P.size,
        int(_at_limit(problem, parameter_P)),
    )


def _at_limit(problem: Problem, parameter_P: np.ndarray) -> bool:
    """Shift or spread is at a limit of the fit."""
    low, high = (limit_P[: SPREAD + 1] for limit_P in problem.limits)
    free, margin = parameter_P[: SPREAD + 1], AT_LIMIT * (high - low)
    return bool(((free <= low + margin) | (free >= high - margin)).any())
