"""The embedded survey: simulated HSC images and DESI spectra, nothing to download.

Row i of a seed is the same galaxy whatever the chunking or the number of workers: each
row has its own generator, seeded with (seed, i). The physics lives in
`mmae.survey.simulation`: `population` (what there is), `seds` (its light), `camera` and
`spectrograph` (how it is seen).

Left out so far: weak lensing, colour gradients, spiral arms and clumps, blended spectra,
Fe II and host light of quasars, scatter of the Lyman-alpha forest, correlated pixel noise,
Galactic extinction.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial

import numpy as np

from mmae.errors import InputError
from mmae.survey.schema import Galaxy, SurveySpec
from mmae.survey.simulation import camera, seds, spectrograph
from mmae.survey.simulation.population import (
    QSO,
    Profile,
    Properties,
    draw_properties,
)
from mmae.survey.source import Chunk, ChunkRead, Source

CHUNK_ROWS = 512
SKY_PATCH = ((149.0, 151.5), (1.0, 3.5))  # degrees of ra and dec: the HSC COSMOS field
# Redshift errors over (1 + z): DESI Collaboration 2024 (early data release).
GALAXY_REDSHIFT_ERROR, QUASAR_REDSHIFT_ERROR = 5e-5, 5e-4


@dataclass(frozen=True)
class SimulationConfig:
    """How large a survey and how much of it is measured."""

    n_galaxies: int = 6000
    seed: int = 0
    paired_fraction: float = 1.0  # probability that a row has a spectrum
    labelled_fraction: float = 1.0  # probability that a row has a redshift
    neighbour_fraction: float = 0.2  # probability of another galaxy in the stamp

    def __post_init__(self) -> None:
        for name in ("n_galaxies", "seed"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise InputError(f"{name} is {value!r}; give a whole number of 0 or more.")
        for name in ("paired_fraction", "labelled_fraction", "neighbour_fraction"):
            value = getattr(self, name)
            if not 0 <= value <= 1:  # also false for NaN
                raise InputError(f"{name} is {value!r}; give a number from 0 to 1.")


@dataclass(frozen=True)
class Truth:
    """What a simulated row would be without noise."""

    properties: Properties
    sed: seds.Sed  # observed flux in 1e-17 erg/s/cm2/A, before the fibre
    mag_C: np.ndarray  # AB, total
    image_CHW: np.ndarray  # counts, neighbour included
    flux_L: np.ndarray | None  # 1e-17 erg/s/cm2/A, after the fibre; None without a spectrum


def simulation_source(config: SimulationConfig, spec: SurveySpec) -> Source:
    """The simulated survey as a source of chunks of 512 rows.

    Raises:
        InputError: spec names a band that has no HSC filter curve.
    """
    camera.effective_gain(spec)  # finds unknown bands before any worker starts
    starts = range(0, config.n_galaxies, CHUNK_ROWS)
    return Source(
        name="simulation",
        spec=spec,
        provenance={"source": "simulation", **dataclasses.asdict(config)},
        chunks=[{"start": s, "stop": min(s + CHUNK_ROWS, config.n_galaxies)} for s in starts],
        read=partial(read_chunk, config=config, spec=spec),
    )


def read_chunk(chunk: Chunk, config: SimulationConfig, spec: SurveySpec) -> ChunkRead:
    """Simulate rows start..stop of a survey."""
    rows = range(chunk["start"], chunk["stop"])
    return ChunkRead(
        galaxies=[simulate_galaxy(row, config, spec)[0] for row in rows],
        where=[f"simulation seed {config.seed}, row {row}" for row in rows],
    )


def simulate_galaxy(row: int, config: SimulationConfig, spec: SurveySpec) -> tuple[Galaxy, Truth]:
    """One row as observed and as it truly is."""
    rng = np.random.default_rng([config.seed, row])
    # Drawn first: changing a fraction takes spectra or labels away and leaves the rest alone.
    paired = rng.random() < config.paired_fraction
    labelled = rng.random() < config.labelled_fraction
    has_neighbour = rng.random() < config.neighbour_fraction
    (ra_low, ra_high), (dec_low, dec_high) = SKY_PATCH
    ra, dec = rng.uniform(ra_low, ra_high), rng.uniform(dec_low, dec_high)

    properties = draw_properties(rng)
    sed = _scaled_sed(properties)
    mag_C = seds.ab_magnitude(sed, properties.redshift, spec.bands)
    fwhm_C = camera.draw_seeing(rng, spec.bands)
    middle = (spec.image_size - 1) / 2
    centre = (middle + rng.uniform(-0.5, 0.5), middle + rng.uniform(-0.5, 0.5))
    image_CHW = _render(properties.profile, mag_C, fwhm_C, centre, spec)
    if has_neighbour:
        image_CHW = image_CHW + _neighbour_image(rng, fwhm_C, spec)
    true_L = flux_L = ivar_L = redshift = redshift_err = None
    observed_CHW = camera.add_noise(rng, image_CHW, spec)
    measured_C = camera.measure_magnitude(rng, mag_C, properties.profile, fwhm_C, spec)
    relative_error = (QUASAR_REDSHIFT_ERROR if properties.target_class is QSO
                      else GALAXY_REDSHIFT_ERROR) * (1 + properties.redshift)
    redshift_offset = relative_error * rng.standard_normal()
    if labelled:
        redshift, redshift_err = properties.redshift + redshift_offset, relative_error
    if paired:
        true_L = spectrograph.true_spectrum(sed, properties.redshift, properties.profile, spec)
        flux_L, ivar_L = spectrograph.observe(rng, true_L, spec)
    galaxy = Galaxy(
        object_id=f"sim-{config.seed}-{row:07d}", ra=ra, dec=dec,
        targetid=_target_id(config.seed, row) if paired or labelled else None,
        redshift=redshift, redshift_err=redshift_err, image_CHW=observed_CHW, flux_L=flux_L,
        ivar_L=ivar_L, cmodel_mag_C=measured_C, morphtype=properties.morphtype,
    )
    return galaxy, Truth(properties, sed, mag_C, image_CHW, true_L)


def _target_id(seed: int, row: int) -> int:
    return (seed % 10**9) * 10**9 + row  # fits int64


def _scaled_sed(properties: Properties) -> seds.Sed:
    return seds.scale_to_magnitude(seds.build_sed(properties), properties.redshift,
                                   properties.target_class.band, properties.magnitude)


def _render(profile: Profile, mag_C: np.ndarray, fwhm_C: np.ndarray,
            centre: tuple[float, float], spec: SurveySpec) -> np.ndarray:
    counts_C = 10 ** (0.4 * (spec.zero_point - mag_C))
    return camera.render(profile, counts_C, fwhm_C, centre, spec.image_size, spec.pixel_scale)


def _neighbour_image(rng: np.random.Generator, fwhm_C: np.ndarray, spec: SurveySpec) -> np.ndarray:
    properties = draw_properties(rng)
    # The field is fainter than the targets; R ~ L^0.26 keeps the surface brightness sane (Shen+2003).
    dimming = rng.uniform(1.0, 4.0)
    profile = dataclasses.replace(
        properties.profile,
        half_light_radius=properties.profile.half_light_radius * 10 ** (-0.4 * 0.26 * dimming))
    sed = _scaled_sed(dataclasses.replace(properties, magnitude=properties.magnitude + dimming))
    mag_C = seds.ab_magnitude(sed, properties.redshift, spec.bands)
    edge = spec.image_size - 1
    centre = (rng.uniform(0, edge), rng.uniform(0, edge))
    return _render(profile, mag_C, fwhm_C, centre, spec)
