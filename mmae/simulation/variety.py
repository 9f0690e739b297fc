"""Variety: what the calibrated simulation does not know, drawn for each row from wide priors.

Templates, line ratios, zero points, seeing, depth and flux calibration of a real survey differ from those that
the simulation is calibrated to. Each row draws its own deviations, from a random generator of its own, so that
the targets of a seed are the same with and without variety. The widths were chosen such that real tables are inside
the simulated locus (`mmae.realism.locus`, docs/realism.md).

Shape suffixes: C bands, E the widths of `lines.LINE_NAMES`, K nodes in ln wavelength, A arms, W wavelengths.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mmae.astro.desi import ARMS
from mmae.astro.lines import LINE_NAMES
from mmae.simulation.camera import MOFFAT_BETA, WARP_WEIGHT, Psf
from mmae.simulation.config import Variety
from mmae.simulation.dust import LAW_RANGE, R_V, calzetti_k
from mmae.simulation.lines import WIDTH_RANGE
from mmae.simulation.population import Target
from mmae.simulation.quasars import Quasar
from mmae.simulation.seds import MIXTURE_WAVELENGTH, Sed
from mmae.simulation.spectrograph import Calibration

NODE_STEP = 0.25  # of ln wavelength: about the separation of adjacent broad bands
NODES = np.arange(np.log(900.0), np.log(12000.0) + NODE_STEP, NODE_STEP)
BUMP_CENTRE, BUMP_WIDTH = 2175.0, 350.0  # Angstrom: Noll+2009, equation 2
# Moffat exponents of the seeing: GalSim tabulates the transform of each, so they are on a grid.
BETA_STEP, BETA_RANGE = 0.5, (2.0, 5.0)
DEPTH_OF_BAND = 1 / 3  # scatter of the depth of a band / scatter common to all bands
BLEND_SEPARATION = (0.4, 3.0)  # arcsec
BLEND_MAGNITUDES = (-0.5, 2.5)  # of the neighbour relative to the target


@dataclass(frozen=True)
class Draws:
    """Deviations of one row. The default is the calibrated simulation."""

    field_target: bool = False  # the target is a galaxy selected by magnitude only
    attenuation_v: float = 0.0  # additional A_V, mag
    dust_slope: float = 0.0
    dust_bump: float = 0.0
    tilt: float = 0.0
    node_K: np.ndarray | None = None  # mag at NODES
    line_factor_E: np.ndarray | None = None
    zero_point_C: np.ndarray | None = None  # mag: catalogue magnitude minus true magnitude
    seeing_factor: float = 1.0
    psf: Psf = Psf()
    noise_factor_C: np.ndarray | None = None
    warp_weight: float = WARP_WEIGHT
    offset: tuple[float, float] = (0.0, 0.0)  # pixels
    blend: tuple[float, float, float] | None = None  # offset in x and y (arcsec) and magnitude difference
    calibration: Calibration = Calibration()


def draw_variety(rng: np.random.Generator, variety: Variety, n_bands: int) -> Draws:
    """Random deviations of one row; the calibrated simulation if scale is 0.

    What depends on the band is drawn last: the object of a row is the same in any bands.
    """
    s = variety.scale
    if s == 0:
        return Draws()
    common, oii, balmer, oiii, nii, sii = rng.standard_normal(len(LINE_NAMES)) * s
    ratio_E = np.array([oii, balmer, oiii, balmer, nii, sii])
    beta = np.clip(MOFFAT_BETA + s * variety.psf_beta * rng.standard_normal(), *BETA_RANGE)
    ellipticity = np.clip(s * variety.psf_ellipticity * rng.standard_normal(2), -0.3, 0.3)
    angle, separation = rng.uniform(0, 2 * np.pi), rng.uniform(*BLEND_SEPARATION)
    fainter, blended = rng.uniform(*BLEND_MAGNITUDES), rng.random() < s * variety.blended
    draws = Draws(
        field_target=rng.random() < s * variety.field_targets,
        attenuation_v=rng.exponential() * s * variety.dust,
        dust_slope=s * variety.dust_slope * rng.standard_normal(),
        dust_bump=s * variety.dust_bump * rng.random(),
        tilt=s * variety.tilt * rng.standard_normal(),
        node_K=s * variety.continuum * rng.standard_normal(NODES.size),
        line_factor_E=10 ** (variety.line_strength * common + variety.line_ratio * ratio_E),
        seeing_factor=float(np.exp(s * variety.psf_width * rng.standard_normal())),
        psf=Psf(float(np.round(beta / BETA_STEP) * BETA_STEP), float(ellipticity[0]), float(ellipticity[1])),
        warp_weight=WARP_WEIGHT + s * variety.sky_correlation * rng.uniform(-1, 1),
        offset=tuple(s * variety.off_centre * rng.standard_normal(2)),
        blend=(separation * np.cos(angle), separation * np.sin(angle), fainter) if blended else None,
        calibration=Calibration(
            tilt=s * variety.calibration_tilt * rng.standard_normal(),
            arm_factor_A=tuple(np.exp(s * variety.arm_offset * rng.standard_normal(len(ARMS)))),
            time_factor=float(np.exp(s * variety.spectrum_depth * rng.standard_normal())),
        ),
    )
    shared, own_C = rng.standard_normal(), rng.standard_normal(n_bands)
    return replace(
        draws,
        noise_factor_C=np.exp(s * variety.depth * (shared + DEPTH_OF_BAND * own_C)),
        zero_point_C=s * variety.zero_point * rng.standard_normal(n_bands),
    )


def varied_target(target: Target, draws: Draws) -> Target:
    """The target with additional dust and other line strengths; a quasar is varied by `varied_quasar`."""
    if target.galaxy is None or draws.line_factor_E is None:
        return target
    widths_E = np.clip(np.array(target.galaxy.widths_E) * draws.line_factor_E, *WIDTH_RANGE)
    attenuation_v = target.galaxy.attenuation_v + draws.attenuation_v
    return replace(
        target, galaxy=replace(target.galaxy, widths_E=tuple(widths_E.tolist()), attenuation_v=attenuation_v)
    )


def varied_quasar(quasar: Quasar, draws: Draws) -> Quasar:
    """The quasar with additional dust and other strengths of broad lines, iron and narrow lines."""
    if draws.line_factor_E is None:
        return quasar
    narrow, broad, oxygen, _, iron, _ = draws.line_factor_E
    return replace(
        quasar,
        line_strength=quasar.line_strength * broad,
        iron_strength=quasar.iron_strength * iron,
        narrow_strength=quasar.narrow_strength * narrow,
        oxygen_strength=quasar.oxygen_strength * oxygen,
        attenuation_v=quasar.attenuation_v + draws.attenuation_v,
    )


def varied_sed(sed: Sed, attenuation_v: float, draws: Draws) -> Sed:
    """The SED with another attenuation curve, tilt and template error; equivalent widths of lines do not change.

    Args:
        attenuation_v: A_V in mag that the SED already has, with the Calzetti law.
    """
    if draws.node_K is None:
        return sed
    return replace(
        sed,
        continuum_W=sed.continuum_W * spectral_factor(sed.wavelength_W, attenuation_v, draws),
        line_flux_J=sed.line_flux_J * spectral_factor(sed.line_wavelength_J, attenuation_v, draws),
    )


def spectral_factor(wavelength_W: np.ndarray, attenuation_v: float, draws: Draws) -> np.ndarray:
    """Factor (W,) on a rest-frame spectrum."""
    if draws.node_K is None:
        return np.ones(np.shape(wavelength_W))
    log_ratio_W = np.log(wavelength_W / MIXTURE_WAVELENGTH)
    change_W = draws.tilt * log_ratio_W + np.interp(np.log(wavelength_W), NODES, draws.node_K)
    curve_W = attenuation_curve(wavelength_W, draws.dust_slope, draws.dust_bump)
    change_W = change_W + attenuation_v * (curve_W - attenuation_curve(wavelength_W, 0.0, 0.0))
    return 10 ** (-0.4 * change_W)


def attenuation_curve(wavelength_W: np.ndarray, slope: float, bump: float) -> np.ndarray:
    """A(lambda) / A_V (W,) of the modified Calzetti law; Noll+2009, equations 1 and 2. 1 at 5500 A without bump."""
    inside_W = np.clip(wavelength_W, *LAW_RANGE)
    square_W = inside_W**2
    drude_W = square_W * BUMP_WIDTH**2 / ((square_W - BUMP_CENTRE**2) ** 2 + square_W * BUMP_WIDTH**2)
    return (calzetti_k(inside_W) + bump * drude_W) / R_V * (inside_W / MIXTURE_WAVELENGTH) ** slope
