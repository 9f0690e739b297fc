"""p(z) recalibrated on one sample is calibrated on another. Shape suffixes as in mmae/model/batch.py."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import nn

from mmae.inference.readings import redshift_edges
from mmae.inference.recalibrate import recalibrate
from mmae.metrics.pz_calibration import MANY_OUTLIERS, Calibration, calibrate, randomised_pit
from mmae.metrics.pz_distribution import RedshiftPDF
from mmae.model.batch import Batch
from mmae.model.build import build_model
from mmae.model.masking import fixed_visible
from mmae.model.outputs import Reading
from mmae.model.part_configs import RedshiftConfig
from mmae.model.recalibration import Recalibration
from mmae.model.redshift import bin_edges, point_and_probability, redshift_interval, refined
from tests.model.galaxies import SPEC, TINY_PAPER, random_batch

CPU = torch.device("cpu")
CONFIG = RedshiftConfig(bins=200, refinement=16)
SCATTER = 0.03  # true measurement error of ln(1+z) in `galaxies`


@dataclass
class Config:
    redshift: RedshiftConfig = field(default_factory=lambda: CONFIG)


class GaussianModel(nn.Module):
    """Reads ln(1+z) from an image of one pixel; its p(z) is a Gaussian of width `sigma`."""

    def __init__(self, sigma: float):
        super().__init__()
        self.sigma, self.config, self.n_tokens = sigma, Config(), {"image": 1}
        self.recalibration = Recalibration(1, CONFIG.bins)

    def read(self, batch, visibles):
        edge_K1 = bin_edges(CONFIG)
        middle_K = (edge_K1[1:] + edge_K1[:-1]) / 2
        logits_BK = -0.5 * ((middle_K - batch.values["image"][:, :1]) / self.sigma).square()
        return self.readings(batch, refined(logits_BK, CONFIG), visibles)

    def readings(self, batch, logits_BZ, visibles):
        found = [self.recalibration(logits_BZ, visible) for visible in visibles]
        return [Reading(*point_and_probability(one_BZ, CONFIG), batch.values["image"], one_BZ) for one_BZ in found]


class LineModel(GaussianModel):
    """Its p(z) is far narrower than a redshift bin."""

    def read(self, batch, visibles):
        middle_Z = (torch.arange(CONFIG.fine_bins, dtype=torch.double) + 0.5) * CONFIG.fine_width
        logits_BZ = -0.5 * ((middle_Z - batch.values["image"][:, :1]) / self.sigma).square()
        return self.readings(batch, logits_BZ.float(), visibles)


def galaxies(n: int, seed: int, outliers: float = 0.0, scatter: float = SCATTER) -> list[Batch]:
    """Batches of 100 galaxies; 10% have no known redshift, and a fraction `outliers` has a random redshift."""
    rng = np.random.default_rng(seed)
    measured_N = rng.uniform(0.3, 1.2, n)
    x_N = measured_N + scatter * rng.normal(size=n)
    is_outlier_N = rng.random(n) < outliers
    x_N[is_outlier_N] = rng.uniform(0, np.log1p(CONFIG.z_max), is_outlier_N.sum())
    truth_N = np.expm1(np.maximum(x_N, 0))
    known_N = np.arange(n) % 10 > 0
    return [
        Batch(
            {"image": torch.from_numpy(measured_N[i, None]).float()},
            {"image": torch.ones(100, dtype=torch.bool)},
            torch.from_numpy(np.where(known_N, truth_N, 0.0)[i]).float(),
            torch.from_numpy(known_N[i]),
            torch.ones(100),
            ["x"] * 100,
        )
        for i in np.arange(n).reshape(-1, 100)
    ]


def calibration(model: GaussianModel, batches: list[Batch]) -> Calibration:
    pit = []
    for batch in batches:
        known_B = batch.redshift_known_B
        (reading,) = model.read(batch, [fixed_visible(batch, model.n_tokens, ("image",))])
        pdf = RedshiftPDF(redshift_edges(model), reading.probability_BK[known_B].numpy())
        pit.append(randomised_pit(pdf, batch.redshift_B[known_B].numpy(), 0))
    return calibrate(np.concatenate(pit))


def coverage(model: GaussianModel, batches: list[Batch]) -> float:
    """Coverage of the central 68% interval."""
    return calibration(model, batches).coverage[0.68].value


@pytest.mark.parametrize("sigma", [0.6 * SCATTER, SCATTER, 1.7 * SCATTER])
def test_wrong_width_is_corrected(sigma):
    model = GaussianModel(sigma)
    before = coverage(model, galaxies(3000, 1))
    recalibrate(model, galaxies(3000, 2), CPU, limit=10_000)
    assert abs(coverage(model, galaxies(3000, 1)) - 0.68) < 0.03
    assert sigma == SCATTER or abs(before - 0.68) > 0.15


@pytest.mark.parametrize("too_wide", [0.7, 1.8])
def test_wrong_width_is_corrected_within_a_redshift_bin(too_wide):
    scatter = 3 * CONFIG.fine_width
    assert scatter < 0.2 * CONFIG.fine_width * CONFIG.refinement
    model = LineModel(too_wide * scatter)

    def interval_coverage() -> float:
        inside = []
        for batch in galaxies(3000, 1, scatter=scatter):
            (reading,) = model.read(batch, [fixed_visible(batch, model.n_tokens, ("image",))])
            _, low_B, high_B = redshift_interval(reading.logits_BZ, CONFIG)
            is_inside_B = (low_B <= batch.redshift_B) & (batch.redshift_B <= high_B)
            inside.append(is_inside_B[batch.redshift_known_B].double())
        return float(torch.cat(inside).mean())

    before = interval_coverage()
    recalibrate(model, galaxies(3000, 2, scatter=scatter), CPU, limit=10_000)
    assert abs(before - 0.68) > 0.1 and abs(interval_coverage() - 0.68) < 0.03


def test_redshifts_at_vanishing_p_of_z_are_corrected():
    model = GaussianModel(SCATTER)
    before = calibration(model, galaxies(3000, 1, outliers=0.01))
    recalibrate(model, galaxies(3000, 2, outliers=0.01), CPU, limit=10_000)
    after = calibration(model, galaxies(3000, 1, outliers=0.01))
    assert MANY_OUTLIERS in before.faults and before.outliers.value > 0.005
    assert not after.faults and after.outliers.value < 0.001


def test_repeated_recalibration_gives_the_same_result():
    model = GaussianModel(2 * SCATTER)
    recalibrate(model, galaxies(1000, 2), CPU, limit=10_000)
    first = model.recalibration.knot_SWR.clone()
    recalibrate(model, galaxies(1000, 2), CPU, limit=10_000)
    assert torch.equal(model.recalibration.knot_SWR, first)


def test_at_most_limit_galaxies_are_read():
    def at_most_300():
        yield from galaxies(300, 0)
        raise AssertionError("read more than 300 galaxies")

    model = GaussianModel(2 * SCATTER)
    recalibrate(model, at_most_300(), CPU, limit=300)
    assert coverage(model, galaxies(1000, 1)) < 0.85
    recalibrate(model, at_most_300(), CPU, limit=0)
    assert coverage(model, galaxies(1000, 1)) > 0.9


def test_a_model_without_p_of_z_is_not_changed():
    model = build_model(TINY_PAPER, SPEC)
    before = {name: t.clone() for name, t in model.state_dict().items()}
    recalibrate(model, [random_batch(4)], CPU, limit=10)
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
