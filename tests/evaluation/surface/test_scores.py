"""Cells and steps against independent formulas, injected rises, false-alarm rate."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.stats import mad_std
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm

from mmae.core.errors import InputError
from mmae.evaluation.surface.scores import FAMILY_LEVEL, MIN_GALAXIES, holm_rejects, score_surface
from mmae.metrics.redshift import scatter_difference, score_redshift
from tests.evaluation.surface.skies import RATIOS, monotone_scatter, predictions


def surface_of(scatter_IS, n=800, seed=1, correlation=0.6, ratios=RATIOS, resamples=100, **options):
    z_pred_ISN, z_spec_N = predictions(np.asarray(scatter_IS), n, seed, correlation)
    return score_surface(
        z_pred_ISN,
        ratios[-z_pred_ISN.shape[0] :],
        ratios[-z_pred_ISN.shape[1] :],
        z_spec_N,
        seed=3,
        resamples=resamples,
        **options,
    )


def test_cells_have_the_scores_of_score_redshift():
    z_pred_ISN, z_spec_N = predictions(monotone_scatter()[:2, :2], 500, 2)
    surface = score_surface(z_pred_ISN, RATIOS[:2], RATIOS[:2], z_spec_N, seed=5, resamples=60)
    assert len(surface.cells) == 4 and surface.n_galaxies == 500 and surface.n_left_out == 0
    for (i, s), cell in surface.cells.items():
        expected = score_redshift(z_spec_N, z_pred_ISN[i, s], seed=5, resamples=60)
        assert cell.sigma_nmad == expected["sigma_nmad"]
        assert cell.bias == expected["bias"] and cell.outlier_rate == expected["outlier_rate"]
        dz_N = (z_pred_ISN[i, s] - z_spec_N) / (1 + z_spec_N)
        assert cell.sigma_nmad.value == pytest.approx(mad_std(dz_N), rel=1e-4)
        assert cell.not_finite == 0


def test_steps_are_paired_differences():
    z_pred_ISN, z_spec_N = predictions(monotone_scatter()[:2, :2], 600, 2, correlation=0.98)
    surface = score_surface(z_pred_ISN, RATIOS[:2], RATIOS[:2], z_spec_N, seed=5, resamples=400)
    for step in surface.steps:
        paired = scatter_difference(z_spec_N, z_pred_ISN[step.more], z_pred_ISN[step.less], seed=5, resamples=400)
        assert step.rise.value == pytest.approx(paired.value, abs=1e-15)
        assert step.rise.error == pytest.approx(paired.error, rel=0.2)  # standard deviation, half of 16 to 84%
        assert step.significance == pytest.approx(step.rise.value / step.rise.error)
    # Errors common to both cells cancel: the error is below that of independent samples.
    less, more = surface.cells[1, 1].sigma_nmad, surface.cells[0, 0].sigma_nmad
    (diagonal,) = [s for s in surface.steps if (s.less, s.more) == ((1, 1), (0, 0))]
    assert diagonal.rise.error < 0.75 * np.hypot(less.error, more.error)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 4), st.integers(2, 4), st.booleans())
def test_steps_are_all_pairs_ordered_by_data(n_i, n_s, with_absent):
    ratios = (0.0, 0.3, 0.6, 0.8, 1.0)
    ratios_I, ratios_S = (ratios[-n:] if with_absent else ratios[:n] for n in (n_i, n_s))
    z_pred_ISN, z_spec_N = predictions(np.full((n_i, n_s), 0.02), 120, 0)
    surface = score_surface(z_pred_ISN, ratios_I, ratios_S, z_spec_N, seed=0, resamples=5)
    # Pairs i' <= i times pairs s' <= s, minus n identical pairs, minus n - 1 pairs with the excluded corner.
    n = n_i * n_s
    pairs = n_i * (n_i + 1) // 2 * n_s * (n_s + 1) // 2 - n - with_absent * (n - 1)
    neighbours = (n_i - 1) * n_s + n_i * (n_s - 1) - with_absent * ((n_i > 1) + (n_s > 1))
    assert len(surface.cells) == n - with_absent
    assert len(surface.steps) == len({(s.less, s.more) for s in surface.steps}) == pairs
    assert len(surface.neighbours) == neighbours
    for step in surface.steps:
        assert ratios_I[step.more[0]] <= ratios_I[step.less[0]]
        assert ratios_S[step.more[1]] <= ratios_S[step.less[1]]
        places = np.abs(np.subtract(step.less, step.more)).sum()
        assert step.neighbours == (places == 1)


def test_monotone_surface_has_no_significant_rise():
    for seed in range(3):
        surface = surface_of(monotone_scatter(), seed=seed)
        assert len(surface.steps) == 176 and len(surface.neighbours) == 38
        assert not surface.hurting
        assert surface.cells[0, 0].sigma_nmad.value < surface.cells[3, 0].sigma_nmad.value + 1e-3


@pytest.mark.parametrize("less, more", [((1, 4), (0, 4)), ((2, 3), (2, 2)), ((4, 2), (4, 1))])
def test_rise_as_large_as_the_papers_is_found(less, more):
    scatter_IS = monotone_scatter()
    scatter_IS[more] = scatter_IS[less] * 0.0304 / 0.0210
    for seed in range(3):
        surface = surface_of(scatter_IS, seed=seed)
        worst = surface.hurting[0]
        assert worst.neighbours
        # The most significant step may start at another cell with less data; it ends at the bad cell.
        assert worst.more == more
        named = [(s.less, s.more) for s in surface.hurting if s.neighbours]
        assert (less, more) in named
        assert all(step.more == more for step in surface.hurting)


def test_slow_rise_is_found_in_longer_steps_only():
    # 8% per step with an error of 3% per single step; a factor of 1.36 over four steps.
    scatter_IS = np.array([[0.02 * 1.08**k] for k in (4, 3, 2, 1, 0)])
    z_pred_ISN, z_spec_N = predictions(scatter_IS, 800, 7, correlation=0.3)
    surface = score_surface(z_pred_ISN, RATIOS, (0.5,), z_spec_N, seed=0, resamples=100)
    assert surface.hurting and not any(step.neighbours for step in surface.hurting)
    assert any((s.less, s.more) == ((4, 0), (0, 0)) for s in surface.hurting)


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_false_alarm_rate_of_a_flat_surface(correlation):
    trials, alarms, single = 100, 0, 0
    for trial in range(trials):
        surface = surface_of(np.full((3, 3), 0.02), n=120, seed=1000 + trial, correlation=correlation, resamples=80)
        alarms += bool(surface.hurting)
        single += any(step.significance > norm.isf(FAMILY_LEVEL) for step in surface.steps)
    assert alarms <= binom.ppf(0.999, trials, FAMILY_LEVEL)
    # Without the correction for the number of steps the rate would be much higher.
    assert single > binom.ppf(0.999, trials, 4 * FAMILY_LEVEL)


def test_level_is_the_family_wise_error_rate():
    alarms = []
    for level in (0.01, 0.5):
        surfaces = (
            surface_of(np.full((2, 2), 0.02), n=120, seed=seed, level=level, ratios=(0.2, 0.7), resamples=60)
            for seed in range(60)
        )
        alarms.append(sum(bool(surface.hurting) for surface in surfaces))
    assert alarms[0] <= binom.ppf(0.999, 60, 0.01)
    assert binom.ppf(0.001, 60, 0.15) < alarms[1] <= binom.ppf(0.999, 60, 0.5)


def test_rises_above_the_detectable_rise_are_significant():
    scatter_IS = monotone_scatter()
    scatter_IS[0, :] *= 1.3
    surface = surface_of(scatter_IS)
    assert any(step.rise.value > step.detectable for step in surface.steps)
    for step in surface.steps:
        if step.rise.value > step.detectable:
            assert step.hurts
        if step.rise.value <= 0:
            assert not step.hurts
        # Normal quantile of Bonferroni for 176 steps at 5%.
        assert step.detectable / step.rise.error == pytest.approx(3.4459, abs=1e-3)
        share = step.detectable / surface.cells[step.less].sigma_nmad.value
        assert step.detectable_fraction == pytest.approx(share)


def test_detectable_rise_scales_with_the_number_of_galaxies():
    few, many = (surface_of(np.full((2, 2), 0.02), n=n, ratios=(0.2, 0.7), resamples=200) for n in (300, 4800))
    ratio = np.median([a.detectable / b.detectable for a, b in zip(few.steps, many.steps, strict=True)])
    assert ratio == pytest.approx(4, rel=0.25)


def test_equal_predictions_and_a_rise_without_error():
    z_spec_N = np.linspace(0, 1, 200)
    dz_N = np.tile([-0.01, 0.0, 0.0, 0.01, 0.02], 40)
    z_pred_N = z_spec_N + (1 + z_spec_N) * dz_N
    same = score_surface(np.stack([z_pred_N, z_pred_N])[:, None], (0, 0.5), (0,), z_spec_N, seed=0, resamples=20)
    assert [(s.significance, s.hurts) for s in same.steps] == [(0.0, False)]
    exact_N = np.where(np.arange(200) % 20 == 0, z_pred_N, z_spec_N)  # a MAD of 0 in every resample
    worse_N = z_spec_N + (1 + z_spec_N) * np.where(np.arange(200) % 2, 0.1, -0.1)
    rise = score_surface(np.stack([worse_N, exact_N])[:, None], (0, 0.5), (0,), z_spec_N, seed=0, resamples=20)
    assert rise.hurting and np.isnan(rise.steps[0].detectable_fraction)


def test_predictions_with_both_modalities_absent_are_ignored():
    z_pred_ISN, z_spec_N = predictions(monotone_scatter(), 300, 4)
    assert np.isnan(z_pred_ISN[4, 4]).all()
    filled = z_pred_ISN.copy()
    filled[4, 4] = 99.0
    first, second = (score_surface(z, RATIOS, RATIOS, z_spec_N, seed=0, resamples=20) for z in (z_pred_ISN, filled))
    assert first == second and (4, 4) not in first.cells and first.n_galaxies == 300


def test_galaxies_without_predictions_are_excluded():
    z_pred_ISN, z_spec_N = predictions(monotone_scatter()[:2, :2], 300, 4)
    z_pred_ISN[:, :, :30] = np.nan  # without a modality: excluded
    z_pred_ISN[0, 1, 30:40] = np.inf  # failed in one cell
    z_spec_N[40:60] = np.nan
    surface = score_surface(z_pred_ISN, RATIOS[:2], RATIOS[:2], z_spec_N, seed=0, resamples=20)
    assert (surface.n_galaxies, surface.n_left_out) == (240, 10)
    assert [surface.cells[c].not_finite for c in ((0, 0), (0, 1))] == [0, 10]
    assert [surface.cells[c].outlier_rate.n for c in ((0, 0), (0, 1))] == [250, 250]
    assert {cell.sigma_nmad.n for cell in surface.cells.values()} == {240}
    dz_N = (z_pred_ISN[0, 0] - z_spec_N) / (1 + z_spec_N)
    assert surface.cells[0, 0].sigma_nmad.value == pytest.approx(mad_std(dz_N[60:]), rel=1e-4)
    outliers = 10 + (np.abs((z_pred_ISN[0, 1] - z_spec_N) / (1 + z_spec_N))[60:] > 0.15).sum()
    assert surface.cells[0, 1].outlier_rate.value == pytest.approx(outliers / 250)


@pytest.mark.parametrize("n", [0, 1, MIN_GALAXIES - 1])
def test_few_galaxies_are_scored_without_steps(n):
    z_pred_ISN, z_spec_N = predictions(monotone_scatter()[:2, :2], n, 4)
    surface = score_surface(z_pred_ISN, RATIOS[:2], RATIOS[:2], z_spec_N, seed=0, resamples=20)
    assert surface.steps == () and surface.n_galaxies == n and len(surface.cells) == 4
    assert np.isfinite(surface.cells[0, 0].bias.value) == (n > 0)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0.001, 0.5))
def test_holm_agrees_with_adjusted_p_values(p, level):
    p_P = np.array(p)
    # Adjusted p: the running maximum of (P - k) p_k in order of p.
    ordered = sorted(range(len(p)), key=lambda k: p[k])
    adjusted, running = {}, 0.0
    for rank, k in enumerate(ordered):
        running = max(running, (len(p) - rank) * p[k])
        adjusted[k] = running
    rejected_P = holm_rejects(p_P, level)
    for k, value in adjusted.items():
        if abs(value - level) > 1e-12:
            assert rejected_P[k] == (value < level)
    assert rejected_P[p_P <= level / len(p)].all()  # rejected by Bonferroni
    assert not rejected_P[p_P > level].any()


@pytest.mark.parametrize(
    "change, named",
    [
        ({"ratios_I": (0, 0.5, 0.4)}, "image"),
        ({"ratios_S": (0, 0.5, 1.2)}, "spectrum"),
        ({"ratios_S": (0, 0.5, np.nan)}, "spectrum"),
        ({"ratios_I": (0, 0.5)}, r"\(3, 3, 120\).*\(2, 3, 120\)"),
        ({"z_spec_N": np.zeros(7)}, r"\(3, 3, 7\)"),
        ({"resamples": 1}, "resamples = 1"),
    ],
)
def test_invalid_input_is_refused(change, named):
    z_pred_ISN, z_spec_N = predictions(np.full((3, 3), 0.02), 120, 0)
    arguments = {"z_pred_ISN": z_pred_ISN, "ratios_I": (0, 0.5, 1), "ratios_S": (0, 0.5, 1), "z_spec_N": z_spec_N}
    with pytest.raises(InputError, match=named):
        score_surface(**{**arguments, "seed": 0, "resamples": 10, **change})


def test_surface_without_any_data_is_refused():
    with pytest.raises(InputError, match="surface"):
        score_surface(np.zeros((1, 1, 200)), (1,), (1,), np.zeros(200), seed=0)
