"""Simulated survey: HSC-like images and DESI-like spectra without downloads.

Row i of a seed is the same galaxy for any chunking or number of workers: each row has its own random
generator, seeded with (seed, i). Modules in physical order: `population` (targets), `structure`, `lines`,
`dust`, `seds`, `quasars`, `stars` (profiles and spectra), `sky` (objects), `field` (neighbours), `camera` and
`spectrograph` (observation), `labels` (measured redshift).

Not simulated: weak lensing, spiral arms and clumps, blended spectra, absorption lines narrower than
257 km/s, damped Lyman-alpha systems, detector artefacts, stars among the targets.

Shape suffixes: C bands, E the widths of `lines.LINE_NAMES`, H and W pixels, L wavelength samples,
P components.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from mmae.astro.lines import WIDTH_WAVELENGTH_E
from mmae.simulation import camera, labels, spectrograph
from mmae.simulation.config import VERSION, SimulationConfig
from mmae.simulation.dust import draw_galactic_reddening, galactic_transmission
from mmae.simulation.field import FieldObject, draw_field
from mmae.simulation.population import BGS, MAIN, Target, draw_target
from mmae.simulation.sky import SkyObject, behind_dust, target_object, total_magnitudes
from mmae.simulation.structure import POINT_SOURCE, Structure, tractor_type
from mmae.simulation.truth import truth_row, truth_schema
from mmae.survey.schema import Galaxy, Rejection, SurveySpec
from mmae.survey.source import Chunk, ChunkRead, Source

CHUNK_ROWS = 512
SKY_PATCH = ((149.0, 151.5), (1.0, 3.5))  # degrees of ra and dec: the HSC COSMOS field
BRIGHT_PROGRAM = (MAIN, BGS)  # classes of the DESI bright-time program
CENTRING_ERROR = 0.5  # pixels, maximum per axis: cutouts start at whole pixels


@dataclass(frozen=True)
class Truth:
    """Noise-free version of a simulated row."""

    target: Target
    sky_object: SkyObject  # observed flux in 1e-17 erg/s/cm2/A, with Galactic extinction, before fibre losses
    mag_PC: np.ndarray  # AB, total, of each component
    mag_C: np.ndarray  # AB, total
    fwhm_C: np.ndarray  # seeing, arcsec
    image_CHW: np.ndarray  # counts, including field objects
    flux_L: np.ndarray | None  # 1e-17 erg/s/cm2/A, after fibre losses; None without a spectrum
    label: labels.Label
    row: dict[str, Any]  # of the truth table


def simulation_source(config: SimulationConfig, spec: SurveySpec) -> Source:
    """The simulated survey as a source of chunks of 512 rows.

    Raises:
        InputError: spec names a band that has no HSC filter curve.
    """
    camera.effective_gain(spec)  # raises for an unknown band before workers start
    starts = range(0, config.galaxies, CHUNK_ROWS)
    return Source(
        name="simulation",
        spec=spec,
        provenance={"source": "simulation", "version": VERSION, **dataclasses.asdict(config)},
        chunks=[{"start": s, "stop": min(s + CHUNK_ROWS, config.galaxies)} for s in starts],
        read=partial(read_chunk, config=config, spec=spec),
        truth_schema=truth_schema(spec.bands),
    )


def read_chunk(chunk: Chunk, config: SimulationConfig, spec: SurveySpec) -> ChunkRead:
    """Simulate rows start to stop - 1. Redshifts with ZWARN are removed and reported, as in the DESI reader."""
    result = ChunkRead()
    for row in range(chunk["start"], chunk["stop"]):
        galaxy, truth = simulate_galaxy(row, config, spec)
        where = f"simulation seed {config.seed}, row {row}"
        if galaxy.redshift is not None and truth.label.zwarn != 0:
            reason = (
                f"ZWARN={truth.label.zwarn}: z={galaxy.redshift:.4f} is flagged by redrock; "
                f"the row is kept without a label"
            )
            result.rejections.append(Rejection(galaxy.object_id, where, "redshift", reason))
            galaxy.redshift = galaxy.redshift_err = None
        result.galaxies.append(galaxy)
        result.where.append(where)
        result.truth.append(truth.row)
    return result


def simulate_galaxy(row: int, config: SimulationConfig, spec: SurveySpec) -> tuple[Galaxy, Truth]:
    """One row as observed (flagged redshifts included) and its truth."""
    rng = np.random.default_rng([config.seed, row])
    # Drawn first: changing a fraction removes spectra or redshifts and changes nothing else.
    paired = rng.random() < config.paired_fraction
    labelled = rng.random() < config.labelled_fraction
    (ra_low, ra_high), (dec_low, dec_high) = SKY_PATCH
    ra, dec = rng.uniform(ra_low, ra_high), rng.uniform(dec_low, dec_high)

    target = draw_target(rng)
    structure = target.galaxy.structure if target.galaxy is not None else Structure(1.0, POINT_SOURCE, POINT_SOURCE)
    emitted, line_flux_E = target_object(rng, target)
    reddening = draw_galactic_reddening(rng)
    sky_object = behind_dust(emitted, reddening)
    line_flux_E *= galactic_transmission(WIDTH_WAVELENGTH_E * (1 + target.redshift), reddening)
    mag_PC = sky_object.magnitudes_PC(spec.bands)
    mag_C = total_magnitudes(mag_PC)
    label = labels.measure_redshift(rng, target.target_class.name, target.redshift)
    morphtype = tractor_type(rng, structure)

    fwhm_C = camera.draw_seeing(rng, spec.bands)
    middle = (spec.image_size - 1) / 2
    centre = tuple(middle + rng.uniform(-CENTRING_ERROR, CENTRING_ERROR, 2))
    field = draw_field(rng, spec, config.field_density, reddening)
    profiles = _placed_profiles(sky_object, mag_PC, centre, spec) + _field_profiles(field, spec)
    image_CHW = camera.render(profiles, fwhm_C, spec.image_size, spec.pixel_scale)
    observed_CHW = camera.add_noise(rng, image_CHW, spec)
    radius = structure.half_light_radius()
    measured_C = camera.measure_magnitude(rng, mag_C, radius, fwhm_C, spec)

    fibre_P = [camera.fibre_fraction(c.profile) for c in sky_object.components]
    spectrum = None
    if paired:
        light = list(zip((c.sed for c in sky_object.components), fibre_P, strict=True))
        time = spectrograph.BRIGHT_TIME if target.target_class in BRIGHT_PROGRAM else spectrograph.DARK_TIME
        spectrum = spectrograph.observe(rng, light, sky_object.redshift, spec, time)
    galaxy = Galaxy(
        object_id=f"sim-{config.seed}-{row:07d}",
        ra=ra,
        dec=dec,
        targetid=_target_id(config.seed, row) if paired or labelled else None,
        redshift=label.redshift if labelled else None,
        redshift_err=label.error if labelled else None,
        image_CHW=observed_CHW,
        flux_L=spectrum.flux_L if spectrum else None,
        ivar_L=spectrum.ivar_L if spectrum else None,
        cmodel_mag_C=measured_C,
        morphtype=morphtype,
    )
    # Fraction of the light in each component, mean over the bands.
    share_P = 10 ** (-0.4 * (mag_PC - mag_C)).mean(axis=1)
    table_row = truth_row(
        galaxy.object_id,
        target,
        structure,
        label,
        mag_C,
        fwhm_C,
        spec.bands,
        line_flux_E,
        galactic_reddening=reddening,
        half_light_radius=radius,
        fibre_fraction=min(float(share_P @ fibre_P), 1.0),
        n_neighbours=sum(not f.is_star for f in field),
        n_stars=sum(f.is_star for f in field),
    )
    return galaxy, Truth(
        target, sky_object, mag_PC, mag_C, fwhm_C, image_CHW, spectrum.true_L if spectrum else None, label, table_row
    )


def target_image(truth: Truth, spec: SurveySpec, size: int) -> np.ndarray:
    """Noise-free image of the target alone, centred: (C,size,size) counts."""
    middle = (size - 1) / 2
    profiles = _placed_profiles(truth.sky_object, truth.mag_PC, (middle, middle), spec)
    return camera.render(profiles, truth.fwhm_C, size, spec.pixel_scale)


def _target_id(seed: int, row: int) -> int:
    return (seed % 10**9) * 10**9 + row  # fits int64


def _placed_profiles(
    sky_object: SkyObject, mag_PC: np.ndarray, centre: tuple[float, float], spec: SurveySpec
) -> list[camera.PlacedProfile]:
    counts_PC = 10 ** (0.4 * (spec.zero_point - mag_PC))
    return [
        camera.PlacedProfile(c.profile, counts_C, centre)
        for c, counts_C in zip(sky_object.components, counts_PC, strict=True)
    ]


def _field_profiles(field: list[FieldObject], spec: SurveySpec) -> list[camera.PlacedProfile]:
    return [
        profile
        for f in field
        for profile in _placed_profiles(f.sky_object, f.sky_object.magnitudes_PC(spec.bands), f.centre, spec)
    ]
