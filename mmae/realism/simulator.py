"""The only place of the report that knows the simulator: rows of a survey, simulated again.

Row i of a seed is the same galaxy for ever, so what the survey does not store (the image without
noise, on a stamp of any size) is made again from its provenance.

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
SAME = 0.01  # mag: a row made again has the magnitudes of the truth table, or the code has changed


@dataclass(frozen=True)
class Simulator:
    """How to make a row of a survey again. `truth` is whatever `simulate` gives.

    Attributes:
        simulate: row -> truth.
        mag_C: truth -> true total AB magnitudes.
        target_image: (truth, size) -> (C, size, size) counts of the target alone, no noise.
        total_spectrum: (truth, wavelength_L) -> flux_L of the whole target before the fibre,
            1e-17 erg/s/cm2/A; None if the simulator does not give it.
        subaru_mag_C: truth -> AB magnitudes in Suprime-Cam's g r i z, or None.
        line_spread: wavelength_L -> standard deviation of a narrow line, Angstrom, or None.
    """

    simulate: Callable[[int], Any]
    mag_C: Callable[[Any], np.ndarray]
    target_image: Callable[[Any, int], np.ndarray]
    total_spectrum: Callable[[Any, np.ndarray], np.ndarray] | None = None
    subaru_mag_C: Callable[[Any], np.ndarray] | None = None
    line_spread: Callable[[np.ndarray], np.ndarray] | None = None


def survey_simulator(survey: Survey, objects: Objects) -> Loaded[Simulator]:
    """The simulator with the options that a survey was made with, or why there is none."""
    # Here and not above: a survey of real galaxies is compared without a simulator.
    from mmae.simulation import seds, sky, source, spectrograph

    told = [s for s in survey.provenance.get("sources", []) if s.get("name") == "simulation"]
    names = {f.name for f in dataclasses.fields(source.SimulationConfig)}
    if len(told) != 1:
        return Loaded(None, "Left out: the survey was not simulated.")
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in told[0].items() if k in names}
    another = Loaded(None, "Left out: the survey was made by another version of the simulator; build it again.")
    if values.keys() != names:
        return another
    config = source.SimulationConfig(**values)
    simulator = Simulator(
        simulate=lambda row: source.simulate_galaxy(row, config, survey.spec)[1],
        mag_C=lambda truth: truth.mag_C,
        target_image=lambda truth, size: source.target_image(truth, survey.spec, size),
        total_spectrum=lambda truth, wavelength_L: np.sum(
            [seds.observed_flux(c.sed, truth.sky_object.redshift, wavelength_L) for c in truth.sky_object.components], axis=0
        ),
        subaru_mag_C=lambda truth: sky.total_magnitudes(
            truth.sky_object.magnitudes_PC(tuple(f"subaru_{b}" for b in SUBARU_BANDS))
        ),
        line_spread=lambda wavelength_L: _line_spread(spectrograph, wavelength_L),
    )
    return Loaded(simulator) if makes_same(simulator, objects) else another


def makes_same(simulator: Simulator, objects: Objects) -> bool:
    """Do a few rows that are made again have the magnitudes of the truth table?"""
    if objects.truth is None:
        return False
    true_NC = np.stack([objects.truth[f"{b}_mag"] for b in objects.bands], axis=1)
    known = [
        (row, true_C)
        for name, true_C in zip(objects.object_id_N, true_NC, strict=True)
        if np.isfinite(true_C).all() and (row := row_of(name)) is not None
    ]
    again = [
        np.allclose(simulator.mag_C(simulator.simulate(row)), true_C, rtol=0, atol=SAME)
        for row, true_C in known[:CHECKED_ROWS]
    ]
    return bool(again) and all(again)


def row_of(object_id: str) -> int | None:
    """The row number in an object_id such as sim-0-0000123."""
    last = str(object_id).rsplit("-", 1)[-1]
    return int(last) if str(object_id).startswith("sim-") and last.isdigit() else None


def _line_spread(spectrograph: Any, wavelength_L: np.ndarray) -> np.ndarray:
    """Mean over the arms that see a wavelength."""
    arms = spectrograph.ARMS
    seen_AL = np.array([(wavelength_L >= arm.start) & (wavelength_L <= arm.stop) for arm in arms])
    sigma_AL = np.array([spectrograph.line_spread_sigma(arm, wavelength_L) for arm in arms])
    return np.sum(sigma_AL * seen_AL, axis=0) / seen_AL.sum(axis=0)
