"""HSC-like images: profiles convolved with the seeing on coadd pixels, plus noise; rendered with GalSim (Rowe+2015).

Shape suffixes: C bands, H and W image pixels, K wavenumbers, Y and X wavenumbers of the padded Fourier
transform (X: half spectrum).
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
# Exposure time in seconds, wide layer (Aihara+2018); the filter curves include all throughput losses.
EXPOSURE_TIME = {"g": 600.0, "r": 600.0, "i": 1200.0, "z": 1200.0, "y": 1200.0}
COLLECTING_AREA = np.pi * 410.0**2 * 0.9  # cm2: 8.2 m mirror minus the prime-focus obscuration
# Warping to the coadd grid correlates adjacent pixels (Bosch+2018, section 3.3): kernel weight of each of
# the two neighbours along an axis; 0.03 gives the correlation of 0.06 of real coadds.
WARP_WEIGHT = 0.03
# Scatter of pipeline magnitudes, mag: galaxies injected into HSC images at i = 20 are recovered with a
# scatter of 0.15, most of it common to all bands because they share the fitted shape, stars with 0.01
# (Huang+2018, abstract). BAND_SCATTER (independent between bands) is our choice: it makes photometric
# redshifts as accurate as for real galaxies (docs/realism.md, photoz).
SHAPE_SCATTER, BAND_SCATTER, STAR_SCATTER = 0.145, 0.04, 0.01

FIBRE_DIAMETER = 1.5  # arcsec, mean over the focal plane (DESI Collaboration 2022)
FIBRE_SEEING = 1.1  # arcsec FWHM at Mayall (DESI Collaboration 2022)
FIBRE_WAVENUMBER_MAX = 20.0  # radian/arcsec: the transform of the seeing is below 1e-8 beyond

# Sersic profiles are truncated at 8 half-light radii, as in the SDSS pipeline (Stoughton+2002, section 4.4.5.5).
TRUNCATION = 8.0
# Size of a profile: radius containing 98% of its light; light outside the box is aliased back into it.
GALSIM = galsim.GSParams(folding_threshold=0.02, maximum_fft_size=8192)


@dataclass(frozen=True)
class PlacedProfile:
    """A profile, its total counts in each band and its position on the cutout."""

    profile: Profile
    counts_C: np.ndarray
    centre: tuple[float, float]  # x, y in pixels; 0 is the centre of the first pixel


@dataclass(frozen=True)
class Psf:
    """Shape of the seeing, common to all bands."""

    beta: float = MOFFAT_BETA
    e1: float = 0.0  # ellipticity, |e| = (1 - q) / (1 + q)
    e2: float = 0.0

    def profile(self, fwhm: float) -> galsim.GSObject:
        """GalSim profile of unit flux; fwhm in arcsec."""
        moffat = galsim.Moffat(beta=self.beta, fwhm=fwhm, gsparams=GALSIM)
        return moffat.shear(g1=self.e1, g2=self.e2) if self.e1 or self.e2 else moffat


def galsim_profile(profile: Profile) -> galsim.GSObject:
    """GalSim profile of unit flux; a delta function for a point source."""
    if profile.half_light_radius == 0:
        return galsim.DeltaFunction(gsparams=GALSIM)
    # GalSim takes the radius of the circular profile; its shear conserves area.
    radius = profile.half_light_radius * np.sqrt(profile.axis_ratio)
    return (
        _unit_sersic(profile.sersic_index)
        .dilate(radius)
        .shear(q=profile.axis_ratio, beta=profile.position_angle * galsim.radians)
    )


@lru_cache(maxsize=64)
def _unit_sersic(index: float) -> galsim.GSObject:
    # One cached object per index: GalSim recomputes its tables when the ratio of the radii changes by rounding.
    if index == 1:
        return galsim.Exponential(half_light_radius=1.0, gsparams=GALSIM)
    return galsim.Sersic(n=index, half_light_radius=1.0, trunc=TRUNCATION, gsparams=GALSIM)


def render(
    profiles: Sequence[PlacedProfile], fwhm_C: np.ndarray, size: int, pixel_scale: float, psf: Psf = Psf()
) -> np.ndarray:
    """Noise-free image (C,size,size) in counts per pixel.

    Each profile is drawn once for all bands in Fourier space, where seeing and pixel response are products.
    The seeing, at least 3 pixels FWHM, removes all power beyond the Nyquist frequency.

    Args:
        fwhm_C: seeing in arcsec.
        pixel_scale: arcsec per pixel.
    """
    shapes = [galsim_profile(p.profile) for p in profiles]
    seeings = [psf.profile(fwhm) for fwhm in fwhm_C]
    # The discrete transform is periodic: the padding keeps 98% of a periodic copy off the cutout.
    reach = max(np.pi / s.stepk for s in shapes) + max(np.pi / s.stepk for s in seeings)
    box = next_fast_len(size + int(np.ceil(reach / pixel_scale)), real=True)
    box += box % 2
    pixel_YX = _transform(galsim.Pixel(pixel_scale, gsparams=GALSIM), box, pixel_scale)
    light_CYX = np.zeros((len(fwhm_C), *pixel_YX.shape), np.complex64)
    for shape, profile in zip(shapes, profiles, strict=True):
        shifted = shape.shift(profile.centre[0] * pixel_scale, profile.centre[1] * pixel_scale)
        shape_YX = _transform(shifted, box, pixel_scale) * pixel_YX
        light_CYX += profile.counts_C.astype(np.float32)[:, None, None] * shape_YX
    for light_YX, seeing in zip(light_CYX, seeings, strict=True):
        light_YX *= _transform(seeing, box, pixel_scale)
    in_fft_order_CYX = np.fft.ifftshift(light_CYX, axes=1)
    return irfft2(in_fft_order_CYX, s=(box, box), overwrite_x=True)[:, :size, :size].astype(float)


def _transform(profile: galsim.GSObject, box: int, pixel_scale: float) -> np.ndarray:
    """Fourier transform (Y,X) complex64 for box x box pixels: k_y from -pi to pi, k_x from 0 to pi per pixel."""
    half_plane = galsim.BoundsI(0, box // 2, -box // 2, box // 2 - 1)
    image = profile.drawKImage(bounds=half_plane, scale=2 * np.pi / (box * pixel_scale), recenter=False)
    return image.array


def draw_seeing(rng: np.random.Generator, bands: tuple[str, ...]) -> np.ndarray:
    """Seeing FWHM (C,) in arcsec of one pointing."""
    return np.array([SEEING_FWHM[b] for b in bands]) * rng.lognormal(0, SEEING_SCATTER, len(bands))


@lru_cache(maxsize=1)
def _fibre_window() -> tuple[np.ndarray, np.ndarray]:
    """wavenumber_K (radian/arcsec) and its weight in the flux of a fibre, seeing included.

    Parseval: flux inside radius R = integral of F(k) P(k) R J1(k R) dk; P: transform of the seeing.
    """
    wavenumber_K = (np.arange(1500) + 0.5) * FIBRE_WAVENUMBER_MAX / 1500
    seeing = galsim.Moffat(beta=MOFFAT_BETA, fwhm=FIBRE_SEEING, gsparams=GALSIM)
    seeing_K = np.array([seeing.kValue(k, 0).real for k in wavenumber_K])
    radius = FIBRE_DIAMETER / 2
    step = wavenumber_K[1] - wavenumber_K[0]
    return wavenumber_K, seeing_K * radius * j1(wavenumber_K * radius) * step


@lru_cache(maxsize=64)
def _fibre_table(sersic_index: float) -> tuple[np.ndarray, np.ndarray]:
    """Half-light radius (arcsec) and fraction of the light inside the fibre, circular profile."""
    wavenumber_K, window_K = _fibre_window()
    unit = _unit_sersic(sersic_index)
    radius = np.geomspace(0.02, RADIUS_RANGE[1], 40)
    share = [window_K @ np.array([unit.kValue(k * r, 0).real for k in wavenumber_K]) for r in radius]
    return radius, np.array(share)


def fibre_fraction(profile: Profile) -> float:
    """Fraction of a centred object's light in a DESI fibre, relative to a point source.

    DESI calibrates fluxes on stars (Guy+2023), so the fraction is 1 for a point source and below 1 for a
    galaxy. Profiles are circularised.
    """
    if profile.half_light_radius == 0:
        return 1.0
    radius, share = _fibre_table(profile.sersic_index)
    circular = profile.half_light_radius * np.sqrt(profile.axis_ratio)
    return float(np.interp(circular, radius, share) / _fibre_window()[1].sum())


@lru_cache(maxsize=4)
def effective_gain(spec: SurveySpec) -> np.ndarray:
    """Electrons per count (C,) of a coadd: exposure time x throughput x area at the zero point.

    1500 (y) to 4700 (i). For comparison: the variance-flux relation of real HSC-COSMOS coadds,
    which are deeper, gives about 6000 in r.
    """
    rate_C = electrons_per_second(spec.bands, COLLECTING_AREA) * 10 ** (-0.4 * spec.zero_point)
    return rate_C * np.array([EXPOSURE_TIME[b] for b in spec.bands])


def add_noise(
    rng: np.random.Generator, image_CHW: np.ndarray, spec: SurveySpec, warp_weight: float = WARP_WEIGHT
) -> np.ndarray:
    """Image plus sky noise and photon noise of the objects; (C,H,W) float32 counts.

    Args:
        warp_weight: weight of each of the two neighbours along an axis in the kernel that correlates the noise.
    """
    sky_C11 = np.square(spec.band_noise)[:, None, None]
    photon_CHW = np.maximum(image_CHW, 0) / effective_gain(spec)[:, None, None]
    sigma_CHW = np.sqrt(sky_C11 + photon_CHW).astype(np.float32)
    noise_CHW = rng.standard_normal(image_CHW.shape, dtype=np.float32)
    kernel = np.array([warp_weight, 1.0, warp_weight])
    kernel /= np.sqrt((kernel**2).sum())  # unit variance
    for axis in (1, 2):
        noise_CHW = correlate1d(noise_CHW, kernel, axis=axis, mode="wrap")
    return image_CHW.astype(np.float32) + sigma_CHW * noise_CHW


def measure_magnitude(
    rng: np.random.Generator, mag_C: np.ndarray, half_light_radius: float, fwhm_C: np.ndarray, spec: SurveySpec
) -> np.ndarray:
    """Catalogue magnitudes (C,) with the noise of a model fit; NaN where the measured flux is not positive.

    Noise of a Gaussian matched filter: sigma_F^2 = 4 pi s^2 sigma_sky^2 + F / gain (King 1983), s: rms size
    of the profile with seeing; plus the scatter of the pipeline.
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
