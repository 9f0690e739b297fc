"""Small raw surveys written by the simulator."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmae.ingest.pairing.config import PairConfig
from mmae.simulation.config import SimulationConfig
from mmae.simulation.raw_files import write_field
from mmae.survey.schema import Galaxy, SurveySpec

GALAXIES = 12
DESCRIPTION = "catalogue:\n  magnitudes: {" + ", ".join(f"{b}: {b}_cmodel_mag" for b in "grizy") + "}\n"


def write_raw(folder: Path, fields: int = 2, galaxies: int = GALAXIES, **simulation) -> list[Galaxy]:
    """Write fields of this many galaxies each; returns the simulated galaxies."""
    for name in ("patches", "spectra", "catalogue"):
        (folder / name).mkdir(parents=True)
    (folder / "survey.yaml").write_text(DESCRIPTION)
    config = SimulationConfig(galaxies=galaxies * fields, field_density=0.0, **simulation)
    return [
        g
        for f in range(fields)
        for g in write_field(f, range(galaxies * f, galaxies * (f + 1)), config, SurveySpec(), folder)
    ]


def raw_config(folder: Path, **options) -> PairConfig:
    return PairConfig(
        **{
            "spectra": (str(folder / "spectra" / "coadd-*"),),
            "redshifts": (str(folder / "spectra" / "redrock-*"),),
            "patches": (str(folder / "patches"),),
            "catalogues": (str(folder / "catalogue"),),
            "description": folder / "survey.yaml",
            "rows_per_cell": 5,
            **options,
        }
    )


def weighted_mean(galaxy: Galaxy) -> tuple[np.ndarray, np.ndarray]:
    """Flux and ivar (L,) of a galaxy from the float32 arms of its file, joined with numpy's weighted mean."""
    from mmae.simulation.raw_files import ARM_SAMPLES

    n = len(galaxy.flux_L)
    flux, weight = np.zeros((3, n)), np.zeros((3, n))
    in_arms = sum(np.bincount(np.arange(*span), minlength=n) for span in ARM_SAMPLES.values())
    for arm, (start, stop) in enumerate(ARM_SAMPLES.values()):
        flux[arm, start:stop] = galaxy.flux_L[start:stop].astype(np.float32)
        weight[arm, start:stop] = (galaxy.ivar_L / in_arms)[start:stop].astype(np.float32)
    mean, total = np.ma.average(flux, axis=0, weights=np.ma.masked_equal(weight, 0), returned=True)
    return np.ma.filled(mean, 0.0), np.ma.filled(total, 0.0)
