"""Observe simulated galaxies of a survey again: the same galaxy with another realisation of the noise.

A row follows from the seed of the survey and its number, which are in the provenance and in the object id.

Shape suffixes: N galaxies, C bands, H and W pixels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmae.simulation import camera
from mmae.simulation.config import VERSION, SimulationConfig, from_recorded
from mmae.simulation.source import draw_light, observed_spec, simulate_galaxy
from mmae.survey.schema import SurveySpec

OBJECT_ID = re.compile(r"sim-(\d+)-(\d+)$")  # as in `simulate_galaxy`
NOISE_STREAM = 4  # random generator of a row, in addition to those of source.py
SAME = 1e-3  # units of the background noise, or of the brightest pixel: a larger difference is not from rounding


def simulations_of(provenance: Mapping[str, Any]) -> dict[int, SimulationConfig]:
    """Seed -> options of the simulations of this version in a survey, from its provenance."""
    configs = [
        from_recorded(source)
        for source in provenance.get("sources", [])
        if source.get("source") == "simulation" and source.get("version") == VERSION
    ]
    return {config.seed: config for config in configs if config is not None}


def second_images(
    object_ids: Sequence[str], observed_NCHW: np.ndarray, simulations: Mapping[int, SimulationConfig], spec: SurveySpec
) -> np.ndarray | None:
    """Second noise realisations (N,C,H,W) in counts, NaN for other galaxies; None without a simulation."""
    if not simulations:
        return None
    second_NCHW = np.full(observed_NCHW.shape, np.nan, np.float32)
    for n, object_id in enumerate(object_ids):
        image_CHW = second_image(object_id, observed_NCHW[n], simulations, spec)
        if image_CHW is not None:
            second_NCHW[n] = image_CHW
    return second_NCHW


def second_image(
    object_id: str, observed_CHW: np.ndarray, simulations: Mapping[int, SimulationConfig], spec: SurveySpec
) -> np.ndarray | None:
    """Another noise realisation of an image of the survey, in counts.

    None if the galaxy is not from these simulations, has a defect, or its first image is not reproduced (other
    versions of libraries, changed or missing pixels).
    """
    found = OBJECT_ID.match(object_id)
    if found is None or int(found[1]) not in simulations:
        return None
    seed, row = int(found[1]), int(found[2])
    light = draw_light(row, simulations[seed], len(spec.bands))
    if light.kind is not None:
        return None
    galaxy, truth = simulate_galaxy(row, simulations[seed], spec)
    assert galaxy.image_CHW is not None  # simulated galaxies always have an image
    difference_CHW = (galaxy.image_CHW - observed_CHW) / np.asarray(spec.band_noise)[:, None, None]
    if not np.abs(difference_CHW).max() <= SAME * max(1.0, float(np.abs(observed_CHW).max())):  # also for NaN
        return None
    rng = np.random.default_rng([seed, row, NOISE_STREAM])
    return camera.add_noise(rng, truth.image_CHW, observed_spec(spec, light.draws), light.draws.warp_weight)
