"""Images: profiles through the seeing onto HSC coadd pixels, with noise. Rendering is GalSim's
(Rowe+2015).

Shape suffixes: C bands, H and W image pixels, K wavenumbers, Y and X of the larger box that the
transform runs in (X: half spectrum).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import galsim
import numpy as np
from scipy.fft import irfft2, next_fast_len
from scipy.ndimage import correlate1d
from scipy.special import j1

from mmae.simulation.seds import electrons_per_second
from mmae.simulation.structure import RADIUS_RANGE, Profile
from mmae.survey.schema import SurveySpec

# Median seeing of the HSC-SSP wide layer, arcsec (PDR2, Aihara+2019).
SEEING_FWHM = {"g": 0.77, "r": 0.76, "i": 0.58, "z": 0.68, "y": 0.68}
SEEING_SCATTER = 0.08  # in ln FWHM, between pointings
MOFFAT_BETA = 3.0  # wings as in atmospheric seeing with optics (Trujillo+2001)
# Seconds on sky in the wide layer (Aihara+2018); the filter curves hold all losses of light.
EXPOSURE_TIME = {"g": 600.0, "r": 600.0, "i": 1200.0, "z": 1200.0, "y": 1200.0}
COLLECTING_AREA = np.pi * 410.0**2 * 0.9  # cm2: 8.2 m mirror less the prime-focus unit
# Warping onto the coadd's pixels correlates neighbours (Bosch+2018, section 3.3): weight of each of
# the two neighbours along an axis; 0.03 gives the correlation of 0.06 of real coadds.
WARP_WEIGHT = 0.03
# How well the pipeline measures what it sees, mag: galaxies injected into HSC images at i = 20 come back
# with a scatter of 0.15, most of it in all bands alike because they share the fitted shape, and stars
# with 0.01 (Huang+2018, abstract). What a band does not share is ours: set so that redshifts from
# magnitudes alone are as good as those of real galaxies (docs/realism.md, photoz).
SHAPE_SCATTER, BAND_SCATTER, STAR_SCATTER = 0.145, 0.04, 0.01

FIBRE_DIAMETER = 1.5  # arcsec, mean over the focal plane (DESI Collaboration 2022)
FIBRE_SEEING = 1.1  # arcsec FWHM at Mayall (DESI Collaboration 2022)
FIBRE_WAVENUMBER_MAX = 20.0  # radian/arcsec: the seeing passes less than 1e-8 beyond

# Steep profiles end at 8 half-light radii, as in the SDSS pipeline (Stoughton+2002, section 4.4.5.5).
TRUNCATION = 8.0
# Profiles count as large as the radius that holds all but 2% of their light; beyond that it folds back.
GALSIM = galsim.GSParams(folding_threshold=0.02, maximum_fft_size=8192)


@dataclass(frozen=True)
class Spot:
    """Light to be drawn: a profile with its counts in each band, at a place on the stamp."""

    profile: Profile
    counts_C: np.ndarray
    centre: tuple[float, float]  # x, y in pixels; the centre of the first pixel is 0


def galsim_profile(profile: Profile) -> galsim.GSObject:
    """The profile with unit flux; a point source as a delta function."""
    if profile.half_light_radius == 0:
        return galsim.DeltaFunction(gsparams=GALSIM)
    # GalSim's radius is that of the round profile, which a shear flattens at constant area.
    radius = profile.half_light_radius * np.sqrt(profile.axis_ratio)
    return (
        _unit_sersic(profile.sersic_index)
        .dilate(radius)
        .shear(q=profile.axis_ratio, beta=profile.position_angle * galsim.radians)
    )


@lru_cache(maxsize=64)
def _unit_sersic(index: float) -> galsim.GSObject:
    # One object per index: GalSim tabulates a profile anew when the ratio of its radii moves by a bit.
    if index == 1:
        return galsim.Exponential(half_light_radius=1.0, gsparams=GALSIM)
    return galsim.Sersic(n=index, half_light_radius=1.0, trunc=TRUNCATION, gsparams=GALSIM)


def render(spots: Sequence[Spot], fwhm_C: np.ndarray, size: int, pixel_scale: float) -> np.ndarray:
    """A noise-free image (C,size,size) in counts per pixel.

    Profiles are drawn in Fourier space, once for all bands: seeing and pixel are products there.
    The seeing, at least 3 pixels wide, leaves nothing beyond the Nyquist frequency.

    Args:
        fwhm_C: seeing in arcsec.
        pixel_scale: arcsec per pixel.
    """
    shapes = [galsim_profile(s.profile) for s in spots]
    seeings = [galsim.Moffat(beta=MOFFAT_BETA, fwhm=fwhm, gsparams=GALSIM) for fwhm in fwhm_C]
    # The transform repeats the image at every box: all but 2% of a copy stays off the stamp.
    reach = max(np.pi / s.stepk for s in shapes) + max(np.pi / s.stepk for s in seeings)
    box = next_fast_len(size + int(np.ceil(reach / pixel_scale)), real=True)
    box += box % 2
    pixel_YX = _transform(galsim.Pixel(pixel_scale, gsparams=GALSIM), box, pixel_scale)
    light_CYX = np.zeros((len(fwhm_C), *pixel_YX.shape), np.complex64)
    for shape, spot in zip(shapes, spots, strict=True):
        placed = shape.shift(spot.centre[0] * pixel_scale, spot.centre[1] * pixel_scale)
        shape_YX = _transform(placed, box, pixel_scale) * pixel_YX
        light_CYX += spot.counts_C.astype(np.float32)[:, None, None] * shape_YX
    for light_YX, seeing in zip(light_CYX, seeings, strict=True):
        light_YX *= _transform(seeing, box, pixel_scale)
    in_fft_order_CYX = np.fft.ifftshift(light_CYX, axes=1)
    return irfft2(in_fft_order_CYX, s=(box, box), overwrite_x=True)[:, :size, :size].astype(float)


def _transform(profile: galsim.GSObject, box: int, pixel_scale: float) -> np.ndarray:
    """Fourier transform (Y,X) complex64, for box x box pixels: k_y from -pi to pi, k_x from 0 to pi."""
    half_plane = galsim.BoundsI(0, box // 2, -box // 2, box // 2 - 1)
    image = profile.drawKImage(bounds=half_plane, scale=2 * np.pi / (box * pixel_scale), recenter=False)
    return image.array


def draw_seeing(rng: np.random.Generator, bands: tuple[str, ...]) -> np.ndarray:
    """Seeing FWHM (C,) in arcsec of one pointing."""
    return np.array([SEEING_FWHM[b] for b in bands]) * rng.lognormal(0, SEEING_SCATTER, len(bands))


@lru_cache(maxsize=1)
def _fibre_window() -> tuple[np.ndarray, np.ndarray]:
    """Wavenumber_K (radian/arcsec) and the weight of each in the light of a fibre seen through the air.

    Parseval: the light inside radius R is the integral of F(k) P(k) R J1(k R) dk.
    """
    wavenumber_K = (np.arange(1500) + 0.5) * FIBRE_WAVENUMBER_MAX / 1500
    seeing = galsim.Moffat(beta=MOFFAT_BETA, fwhm=FIBRE_SEEING, gsparams=GALSIM)
    seeing_K = np.array([seeing.kValue(k, 0).real for k in wavenumber_K])
    radius = FIBRE_DIAMETER / 2
    step = wavenumber_K[1] - wavenumber_K[0]
    return wavenumber_K, seeing_K * radius * j1(wavenumber_K * radius) * step


@lru_cache(maxsize=64)
def _fibre_table(sersic_index: float) -> tuple[np.ndarray, np.ndarray]:
    """Share of the light in the fibre against half-light radius (arcsec), round profile."""
    wavenumber_K, window_K = _fibre_window()
    unit = _unit_sersic(sersic_index)
    radius = np.geomspace(0.02, RADIUS_RANGE[1], 40)
    share = [window_K @ np.array([unit.kValue(k * r, 0).real for k in wavenumber_K]) for r in radius]
    return radius, np.array(share)


def fibre_fraction(profile: Profile) -> float:
    """Share of a centred object's light that a DESI fibre keeps, relative to a star.

    DESI calibrates on stars: a point source keeps all its light, and a galaxy loses what its
    extent costs beyond a star's loss (Guy+2023). Profiles are circularised.
    """
    if profile.half_light_radius == 0:
        return 1.0
    radius, share = _fibre_table(profile.sersic_index)
    circular = profile.half_light_radius * np.sqrt(profile.axis_ratio)
    return float(np.interp(circular, radius, share) / _fibre_window()[1].sum())


@lru_cache(maxsize=4)
def effective_gain(spec: SurveySpec) -> np.ndarray:
    """Electrons per count (C,) of a coadd: exposure x response x area at the zero point.

    1500 (y) to 4700 (i). For comparison: variance against flux in real HSC-COSMOS coadds,
    which are deeper, gives about 6000 in r.
    """
    rate_C = electrons_per_second(spec.bands, COLLECTING_AREA) * 10 ** (-0.4 * spec.zero_point)
    return rate_C * np.array([EXPOSURE_TIME[b] for b in spec.bands])


def add_noise(rng: np.random.Generator, image_CHW: np.ndarray, spec: SurveySpec) -> np.ndarray:
    """Sky noise of the survey plus the photon noise of the objects; (C,H,W) float32 counts."""
    sky_C11 = np.square(spec.band_noise)[:, None, None]
    photon_CHW = np.maximum(image_CHW, 0) / effective_gain(spec)[:, None, None]
    sigma_CHW = np.sqrt(sky_C11 + photon_CHW).astype(np.float32)
    noise_CHW = rng.standard_normal(image_CHW.shape, dtype=np.float32)
    kernel = np.array([WARP_WEIGHT, 1.0, WARP_WEIGHT])
    kernel /= np.sqrt((kernel**2).sum())  # unit variance
    for axis in (1, 2):
        noise_CHW = correlate1d(noise_CHW, kernel, axis=axis, mode="wrap")
    return image_CHW.astype(np.float32) + sigma_CHW * noise_CHW


def measure_magnitude(
    rng: np.random.Generator, mag_C: np.ndarray, half_light_radius: float, fwhm_C: np.ndarray, spec: SurveySpec
) -> np.ndarray:
    """A catalogue magnitude (C,) with the noise of a fit; NaN below zero flux.

    Matched-filter noise of a Gaussian: sigma_F^2 = 4 pi s^2 sigma_sky^2 + F / gain
    (King 1983), s the rms size of the seen profile; plus the scatter of the pipeline.
    """
    counts_C = 10 ** (0.4 * (spec.zero_point - mag_C))
    size_C = np.hypot(fwhm_C / 2.355, half_light_radius / 1.177) / spec.pixel_scale
    sky_C = 4 * np.pi * size_C**2 * np.square(spec.band_noise)
    noise_C = np.sqrt(sky_C + counts_C / effective_gain(spec)) * rng.standard_normal(len(counts_C))
    shared, single_C = rng.standard_normal(), rng.standard_normal(len(counts_C))
    if half_light_radius > 0:
        scatter_C = SHAPE_SCATTER * shared + BAND_SCATTER * single_C
    else:
        scatter_C = STAR_SCATTER * single_C
    measured_C = counts_C * 10 ** (-0.4 * scatter_C) + noise_C
    return np.where(measured_C > 0, spec.zero_point - 2.5 * np.log10(np.maximum(measured_C, 1e-30)), np.nan).astype(
        np.float32
    )
