"""Re-simulation of rows of a survey; the only module of the report that depends on the simulator.

Rows are reproducible from the provenance, so noise-free images and spectra, which a survey does not store, can be
recomputed.

Shape suffixes: N galaxies, C bands, L wavelength samples, A spectrograph arms.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmae.realism.reference import SUBARU_BANDS, Loaded
from mmae.realism.rows import Objects
from mmae.survey.store import Survey

CHECKED_ROWS = 3
MAG_TOLERANCE = 0.01  # mag: a larger difference from the truth table means that the simulation code has changed


@dataclass(frozen=True)
class VariedObject:
    """The object of one row, simulated with another variety."""

    redshift: float
    is_quasar: bool
    mag_C: np.ndarray  # AB, with errors of the zero points


@dataclass(frozen=True)
class Simulator:
    """Functions that re-simulate rows of a survey. `truth` is the result of `simulate`.

    Attributes:
        simulate: row -> truth.
        mag_C: truth -> true total AB magnitudes.
        target_image: (truth, size) -> (C, size, size) counts, noise-free image of the target alone.
        total_spectrum: (truth, wavelength_L) -> flux_L of the whole target before fibre losses, 1e-17 erg/s/cm2/A;
            or None.
        subaru_mag_C: truth -> AB magnitudes in Suprime-Cam g r i z; or None.
        line_spread: wavelength_L -> sigma of the line-spread function, Angstrom; or None.
        varied: (row, scale of variety, bands) -> the object with that variety; or None.
        image: (row, scale of variety) -> observed image (C,H,W) in counts; or None.
        scale: of the variety of the survey.
    """

    simulate: Callable[[int], Any]
    mag_C: Callable[[Any], np.ndarray]
    target_image: Callable[[Any, int], np.ndarray]
    total_spectrum: Callable[[Any, np.ndarray], np.ndarray] | None = None
    subaru_mag_C: Callable[[Any], np.ndarray] | None = None
    line_spread: Callable[[np.ndarray], np.ndarray] | None = None
    varied: Callable[[int, float, tuple[str, ...]], VariedObject] | None = None
    image: Callable[[int, float], np.ndarray] | None = None
    scale: float = 0.0


def survey_simulator(survey: Survey, objects: Objects) -> Loaded[Simulator]:
    """The simulator with the options of a survey, or the reason why there is none."""
    # Imported here: not needed for a survey of real galaxies.
    from mmae.simulation import seds, sky, source, spectrograph
    from mmae.simulation.config import from_recorded

    simulations = [s for s in survey.provenance.get("sources", []) if s.get("name") == "simulation"]
    if len(simulations) != 1:
        return Loaded(None, "Left out: the survey was not simulated.")
    other_version = Loaded(None, "Left out: the survey is from another version of the simulator. Build it again.")
    config = from_recorded(simulations[0])
    if config is None:
        return other_version
    simulator = Simulator(
        simulate=lambda row: source.simulate_galaxy(row, config, survey.spec)[1],
        mag_C=lambda truth: truth.mag_C,
        target_image=lambda truth, size: source.target_image(truth, survey.spec, size),
        total_spectrum=lambda truth, wavelength_L: np.sum(
            [seds.observed_flux(c.sed, truth.sky_object.redshift, wavelength_L) for c in truth.sky_object.components],
            axis=0,
        ),
        subaru_mag_C=lambda truth: sky.total_magnitudes(
            truth.sky_object.magnitudes_PC(tuple(f"subaru_{b}" for b in SUBARU_BANDS))
        ),
        line_spread=lambda wavelength_L: _line_spread(spectrograph, wavelength_L),
        varied=lambda row, scale, bands: _varied(row, scale, bands, config),
        image=lambda row, scale: source.simulate_galaxy(row, _with_scale(config, scale), survey.spec)[0].image_CHW,
        scale=config.variety.scale,
    )
    return Loaded(simulator) if reproduces_truth(simulator, objects) else other_version


def reproduces_truth(simulator: Simulator, objects: Objects) -> bool:
    """True if a few re-simulated rows have the magnitudes of the truth table."""
    if objects.truth is None:
        return False
    true_NC = np.stack([objects.truth[f"{b}_mag"] for b in objects.bands], axis=1)
    known = [
        (row, true_C)
        for name, true_C in zip(objects.object_id_N, true_NC, strict=True)
        if np.isfinite(true_C).all() and (row := row_of(name)) is not None
    ]
    agreement = [
        np.allclose(simulator.mag_C(simulator.simulate(row)), true_C, rtol=0, atol=MAG_TOLERANCE)
        for row, true_C in known[:CHECKED_ROWS]
    ]
    return bool(agreement) and all(agreement)


def row_of(object_id: str) -> int | None:
    """Row number in an object_id such as sim-0-0000123; None for other ids."""
    suffix = str(object_id).rsplit("-", 1)[-1]
    return int(suffix) if str(object_id).startswith("sim-") and suffix.isdigit() else None


def _varied(row: int, scale: float, bands: tuple[str, ...], config: Any) -> VariedObject:
    from mmae.simulation import sky, source

    light = source.draw_light(row, _with_scale(config, scale), len(bands))
    mag_C = sky.total_magnitudes(light.sky_object.magnitudes_PC(bands))
    zero_point_C = light.draws.zero_point_C
    return VariedObject(
        light.target.redshift, light.target.galaxy is None, mag_C if zero_point_C is None else mag_C + zero_point_C
    )


def _with_scale(config: Any, scale: float) -> Any:
    """The options of the survey with another variety, without contaminants."""
    variety = dataclasses.replace(config.variety, scale=scale)
    return dataclasses.replace(config, contaminant_fraction=0.0, variety=variety)


def _line_spread(spectrograph: Any, wavelength_L: np.ndarray) -> np.ndarray:
    """Sigma of the line-spread function, mean over the arms that cover a wavelength."""
    arms = spectrograph.ARMS
    covered_AL = np.array([(wavelength_L >= arm.start) & (wavelength_L <= arm.stop) for arm in arms])
    sigma_AL = np.array([spectrograph.line_spread_sigma(arm, wavelength_L) for arm in arms])
    return np.sum(sigma_AL * covered_AL, axis=0) / covered_AL.sum(axis=0)
