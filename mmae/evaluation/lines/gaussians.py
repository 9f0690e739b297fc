"""The least-squares problem of a blend: Gaussians with a common shift and spread on a linear continuum.

Profiles and derivatives are from astropy's Gaussian1D, the solver is SciPy's Levenberg-Marquardt.

Shape suffixes: W good samples of a window, J members and G lines of a blend, P parameters (shift,
spread, continuum level, continuum slope, G amplitudes), D starting points.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from astropy.modeling.models import Gaussian1D
from scipy.optimize import least_squares, leastsq

from mmae.astro.lines import LIGHT_SPEED_KMS
from mmae.evaluation.lines.catalogue import SHIFT_LIMIT, STARTING_SPREADS, Blend

SHIFT, SPREAD, LEVEL, SLOPE, FIRST_LINE = range(5)
NODE_STEP = 1.0  # largest step between starting shifts, in units of the starting spread
TOLERANCE = 1e-6  # relative, of cost and parameters; far below the statistical errors
MAX_STEPS = 40  # a line needs five; without a line, more steps do not help
CONVERGED = (1, 2, 3, 4)  # MINPACK status codes


@dataclass(frozen=True)
class Problem:
    """A window of a spectrum and the blend to fit. Shift and spread are in km/s.

    Attributes:
        wavelength_W: observed, Angstrom.
        flux_W: flux densities.
        weight_W: 1 / standard error of the flux densities.
        narrowest: smallest spread, km/s.
    """

    blend: Blend
    redshift: float
    wavelength_W: np.ndarray
    flux_W: np.ndarray
    weight_W: np.ndarray
    narrowest: float

    @cached_property
    def scale_J1(self) -> np.ndarray:
        """Angstrom per km/s at each member."""
        return (self.blend.wavelength_J * (1 + self.redshift) / LIGHT_SPEED_KMS)[:, None]

    @cached_property
    def offset_W(self) -> np.ndarray:
        """Offset of the samples; level and slope are then nearly uncorrelated."""
        return self.offset(self.wavelength_W)

    def offset(self, wavelength: np.ndarray) -> np.ndarray:
        """Position in the window, from -1 to 1."""
        low, high = np.multiply(self.blend.window, 1 + self.redshift)
        return (wavelength - 0.5 * (low + high)) / (0.5 * (high - low))

    @property
    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest value of every parameter (P,)."""
        shift, unbounded = SHIFT_LIMIT[self.blend.kind], [np.inf] * (2 + len(self.blend.lines))
        low_P = np.array([-shift, self.narrowest, *np.negative(unbounded)])
        return low_P, np.array([shift, self.blend.widest, *unbounded])

    def positions(self, parameter_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Centre and standard deviation of each member (J,1), Angstrom."""
        return self.scale_J1 * (LIGHT_SPEED_KMS + parameter_P[SHIFT]), self.scale_J1 * parameter_P[SPREAD]

    def model(self, parameter_P: np.ndarray) -> np.ndarray:
        """Flux density (W,) of continuum and lines."""
        amplitude_J1 = (parameter_P[FIRST_LINE:] @ self.blend.amplitude_GJ)[:, None]
        lines_JW = Gaussian1D.evaluate(self.wavelength_W, amplitude_J1, *self.positions(parameter_P))
        return lines_JW.sum(axis=0) + parameter_P[LEVEL] + parameter_P[SLOPE] * self.offset_W

    def residual(self, parameter_P: np.ndarray) -> np.ndarray:
        """Model minus flux in units of the noise (W,)."""
        return (self.model(parameter_P) - self.flux_W) * self.weight_W

    def jacobian(self, parameter_P: np.ndarray) -> np.ndarray:
        """Derivatives of the residual with respect to each parameter (P,W)."""
        amplitude_J1 = (parameter_P[FIRST_LINE:] @ self.blend.amplitude_GJ)[:, None]
        by_amplitude_JW, by_centre_JW, by_sigma_JW = Gaussian1D.fit_deriv(
            self.wavelength_W, amplitude_J1, *self.positions(parameter_P)
        )
        rows = [
            (self.scale_J1 * by_centre_JW).sum(axis=0),
            (self.scale_J1 * by_sigma_JW).sum(axis=0),
            np.ones(self.wavelength_W.size),
            self.offset_W,
            *(self.blend.amplitude_GJ @ by_amplitude_JW),
        ]
        return np.array(rows) * self.weight_W


def solve(problem: Problem) -> np.ndarray:
    """The parameters (P,) of least chi-square within the limits."""
    low_P, high_P = problem.limits
    start_P = np.clip(starting_point(problem), low_P, high_P)
    # MINPACK directly: the overhead of `least_squares` is larger than the fit.
    found_P, _, _, _, status = leastsq(
        problem.residual,
        start_P,
        Dfun=problem.jacobian,
        col_deriv=True,
        full_output=True,
        ftol=TOLERANCE,
        xtol=TOLERANCE,
        maxfev=MAX_STEPS,
    )
    if status in CONVERGED and np.all((low_P < found_P) & (found_P < high_P)):
        return found_P
    # MINPACK does not support limits. The bounded solver takes five times as long and is used only
    # for spectra without a line that constrains shift and spread.
    return least_squares(
        problem.residual,
        start_P,
        lambda parameter_P: problem.jacobian(parameter_P).T,
        bounds=(low_P, high_P),
        x_scale="jac",
        ftol=TOLERANCE,
        xtol=TOLERANCE,
        max_nfev=MAX_STEPS,
    ).x


def starting_point(problem: Problem) -> np.ndarray:
    """The best (P,) of a grid of shifts and spreads, with the linear parameters solved for."""
    grid = np.array(_grid(problem.blend))
    n_lines = len(problem.blend.lines)
    shift_D11, spread_D11 = grid[:, 0, None, None], grid[:, 1, None, None]
    profile_DJW = Gaussian1D.evaluate(
        problem.wavelength_W, 1.0, problem.scale_J1 * (LIGHT_SPEED_KMS + shift_D11), problem.scale_J1 * spread_D11
    )
    columns = np.empty((len(grid), 2 + n_lines, problem.wavelength_W.size))
    columns[:, 0], columns[:, 1] = 1.0, problem.offset_W
    columns[:, 2:] = problem.blend.amplitude_GJ @ profile_DJW
    columns *= problem.weight_W
    signal = columns @ (problem.flux_W * problem.weight_W)
    # Pseudo-inverse: with gaps in the data, two columns may be equal or one may be zero.
    linear = (np.linalg.pinv(columns @ columns.transpose(0, 2, 1), hermitian=True) @ signal[..., None])[..., 0]
    best = int(np.argmax((linear * signal).sum(axis=1)))
    return np.concatenate([grid[best], linear[best]])


def _grid(blend: Blend) -> list[tuple[float, float]]:
    """Grid of shifts and spreads (km/s) with a node close to any line within the limits."""
    limit, nodes = SHIFT_LIMIT[blend.kind], []
    for spread in STARTING_SPREADS[blend.kind]:
        shifts = np.linspace(-limit, limit, 1 + int(np.ceil(2 * limit / (NODE_STEP * spread))))
        nodes += [(shift, spread) for shift in shifts]
    return nodes
