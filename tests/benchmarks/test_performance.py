"""The speed of the step and the step on paper: that they run, and quantities that can be computed by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from benchmarks.performance import model_step, scale
from benchmarks.performance.scale_counts import Counts, PerStep, Traffic, communication, count
from mmae.model.build import build_model
from mmae.recipes import recipe

COUNTS = Counts(
    flop=PerStep(0.0, 4e9),
    convolutions=PerStep(0.0, 0.0),
    traffic=PerStep(0.0, 0.0),
    operations=0.0,
    activations=PerStep(0.0, 1e6),
    state=1e9,
    read=100_000,
    gradient=10**8,
    synchronised=PerStep(0.0, 0.0),
    sums=10,
)


def test_both_models_step_and_are_compared(monkeypatch) -> None:
    monkeypatch.setattr(model_step, "WARM_UP", 0)
    names = (model_step.PAPER, model_step.MASKED)
    paper, masked = model_step.rows(batch=2, steps=1, precisions=("float32",), names=names)
    assert (paper.name, masked.name) == names
    assert paper.of_paper == paper.of_paper_float32 == 1
    assert paper.gflop > 4 * masked.gflop > 0
    assert model_step.markdown([paper, masked]).count("\n") == 3


def test_contest_has_the_sizes_and_the_task_of_the_paper() -> None:
    paper, masked = recipe("paper"), model_step.masked_view()
    ours = build_model(masked.model, model_step.SPEC)
    theirs = build_model(paper.model, model_step.SPEC)
    assert ours.n_tokens["image"] == theirs.n_tokens["image"]
    assert ours.n_tokens["spectrum"] == theirs.n_tokens["spectrum"] + 1  # the last samples, which the paper drops
    assert (masked.model.width, masked.model.depth, masked.model.heads) == (256, 4, 8)
    assert replace(masked.masks, drop_unit="batch") == paper.masks
    assert masked.redshift_masks is None and masked.optim == paper.optim


def test_each_line_changes_its_contest() -> None:
    configs = {c.name: c.config for c in model_step.contestants()}
    assert len(set(map(repr, configs.values()))) == len(configs)


def test_bytes_of_an_operation_are_those_of_its_inputs_and_outputs() -> None:
    a, row = torch.ones(5, 8), torch.ones(8)
    with Traffic() as traffic:
        (a + row.expand(5, 8)).view(40)
    assert traffic.operations == 1
    assert traffic.bytes == 4 * (40 + 8 + 40)


def test_a_step_is_counted() -> None:
    run = recipe("small")
    counts = count(run, sizes=(2, 4), steps=1)
    assert counts.read == 4 * (5 * 64 * 64 + 2 * 7781)
    assert counts.flop.galaxy > counts.convolutions.galaxy > 0
    assert counts.activations.galaxy > counts.read
    assert counts.gradient == 4 * sum(p.numel() for p in build_model(run.model, model_step.SPEC).parameters())


def test_gradient_is_most_of_the_communication() -> None:
    run = recipe("small")
    gradient, synchronised, sums = communication(run, build_model(run.model, model_step.SPEC))
    assert synchronised.fixed < 0.01 * gradient
    assert synchronised.galaxy == 2 * 2 * 8  # two views, two modalities, an integer each
    assert sums > 50  # mostly of batch normalisation


@pytest.mark.parametrize(
    "change, limit",
    [
        ({"efficiency": 0.01}, "arithmetic"),
        ({"storage": 1e8}, "reading"),
        ({"decoding": 1.0}, "decoding"),
        ({"latency": 1.0}, "network"),
    ],
)
def test_the_slowest_resource_limits(change: dict, limit: str) -> None:
    assert scale.step_on(COUNTS, replace(scale.Cluster(), **change), gpus=64, batch=1000).limit == limit


def test_seconds_of_a_step_by_hand() -> None:
    step = scale.step_on(COUNTS, scale.Cluster(), gpus=64, batch=1000)
    assert step.seconds["arithmetic"] == pytest.approx(4e12 / (0.4 * 989e12))
    assert step.seconds["reading"] == pytest.approx(8 * 1000 * 1e5 / 12.5e9)
    assert step.seconds["network"] == pytest.approx(2 * 63 / 64 * 1e8 / 50e9 + 10 * 30e-6)
    assert step.memory == pytest.approx(1e9 + 1000 * 1e6 / 2)


def test_cost_is_that_of_the_hours_of_all_gpus() -> None:
    rows = scale.table(COUNTS, scale.Cluster(), batch=1000, epochs=10, price=2.0)
    for row in rows:
        assert row.cost == pytest.approx(2.0 * row.gpus * row.galaxies * 10 / row.galaxies_per_s / 3600)
        assert max(row.use.values()) == 1.0
    assert scale.markdown(rows).count("\n") == len(rows) + 1


@pytest.mark.slow
def test_prediction_is_compared_with_this_machine() -> None:
    from benchmarks.performance.scale_check import check

    result = check(batch=4, steps=1)
    assert result.bytes_predicted == result.bytes_counted
    assert result.sums_predicted == result.sums_counted
    assert result.seconds_predicted > 0
    print(result)
