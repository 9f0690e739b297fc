"""Redshift from spectral features, drawn lines, and the grid of ln(wavelength)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mmae.astro.lines import CA_H, CA_K, LINE_WAVELENGTH_J, NEIII
from mmae.model.lines import ABSORPTION, BREAKS, DERIVATIVES, EMISSION, FEATURES, GAIN, PROFILES, LineFeatures, Lines
from mmae.model.log_wavelength import LogWavelength
from mmae.model.part_configs import LinesConfig, RedshiftConfig
from mmae.model.redshift import most_probable, redshift_loss, redshift_quantile
from tests.model.galaxies import FULL_SPEC, SPEC

WIDE = replace(SPEC, n_wavelengths=1500, wavelength_start=4000.0, wavelength_step=2.0)
REDSHIFT = RedshiftConfig(z_max=1.0, bins=50, refinement=40)
WAVELENGTH = 4000.0 + 2.0 * np.arange(1500)


def spectra(z_N: np.ndarray, heights: dict[float, float], seed: int = 0, noise: float = 0.1) -> torch.Tensor:
    """Gaussian lines with a standard deviation of 4 Angstrom, without continuum, with noise: (N, L)."""
    z_N1 = z_N[:, None]
    flux = sum(h * np.exp(-0.5 * ((WAVELENGTH - w * (1 + z_N1)) / 4) ** 2) for w, h in heights.items())
    return torch.tensor(flux + np.random.default_rng(seed).normal(0, noise, flux.shape), dtype=torch.float32)


@pytest.fixture(scope="module")
def lines() -> Lines:
    torch.manual_seed(0)
    return Lines(LinesConfig(), WIDE, 4, REDSHIFT)


@pytest.mark.parametrize(("spec", "step"), [(WIDE, 3.5e-4), (FULL_SPEC, 3.2e-4), (FULL_SPEC, 1e-4), (SPEC, 0.02)])
def test_resampling_conserves_flux(spec, step):
    grid = LogWavelength(spec, step)
    value = torch.rand(3, spec.n_wavelengths, generator=torch.Generator().manual_seed(1))
    margin = 200 * spec.n_wavelengths // 7781
    value[:, : margin + 4] = value[:, -4 - margin :] = 0  # the grids have different ends
    torch.testing.assert_close(
        grid.cumulative(value).diff(dim=-1).sum(-1), value.double().sum(-1), rtol=1e-4, atol=1e-3
    )


def test_interpolation_is_exact_for_functions_linear_in_ln_wavelength():
    grid = LogWavelength(FULL_SPEC, 3.2e-4)
    ln_X = grid.first + grid.step * torch.arange(grid.n_samples)
    ln_L = torch.from_numpy(np.log(3600 + 0.8 * np.arange(7781))).float()
    found_L = grid.to_linear(ln_X[None] - 8)[0]
    # float32: ln(wavelength) up to 9.2 has a rounding error of 5e-7, before and after each subtraction of 8.
    torch.testing.assert_close(found_L[:-3], ln_L[:-3] - 8, rtol=0, atol=3e-6)


@pytest.mark.parametrize("z", [0.0, 0.1, 0.33])
def test_position_of_a_redshifted_line(z):
    grid = LogWavelength(WIDE, REDSHIFT.fine_width)
    rest = 5008.24
    flux = spectra(np.array([z]), {rest: 1.0}, noise=0.0)
    peak = grid.cumulative(flux).diff(dim=-1).argmax().item()
    assert abs(peak - grid.position(rest) - math.log1p(z) / grid.step) <= 1


def test_features_are_distinct_wavelengths_in_angstrom():
    assert len(FEATURES) == len(set(FEATURES)) == len(EMISSION) + len(ABSORPTION) + len(BREAKS)
    assert min(FEATURES) > 900 and max(FEATURES) < 10_000
    assert {1216.25, 3727.09, 5008.24, 6564.61} <= set(EMISSION)


def test_narrow_lines_agree_with_the_line_list_of_the_project():
    """The model does not import mmae.astro. Up to 2801 Angstrom EMISSION has positions in the quasar composite."""
    listed = np.array([*LINE_WAVELENGTH_J, NEIII, CA_K, CA_H])  # without blends, which have no single wavelength
    narrow = np.array([w for w in EMISSION + ABSORPTION if w > 2801])
    separation = np.abs(narrow[:, None] - listed)
    same = separation < 0.9  # [Ne III] 3968.59 and Ca H 3969.59 are different lines
    assert same.any(0).all()  # every listed line is a feature of the model
    assert separation[same].max() == 0


def with_random_template(seed: int) -> Lines:
    torch.manual_seed(seed)
    lines = Lines(LinesConfig(), WIDE, 4, REDSHIFT)
    torch.nn.init.normal_(lines.template_RW)
    return lines


def test_shift_of_the_spectrum_is_a_shift_of_the_log_odds():
    """For a random template."""
    lines = with_random_template(0)
    n_x, shift = lines.grid.n_samples, 37
    response = torch.zeros(4, 2, n_x)
    response[:, :, 500:800] = torch.randn(4, 2, 300)
    contrast = torch.ones(9, 2, n_x)
    log_odds = lines.log_odds(LineFeatures(response, contrast))
    shifted = lines.log_odds(LineFeatures(response.roll(shift, -1), contrast))
    assert log_odds.shape == (2, REDSHIFT.fine_bins) and log_odds.abs().max() > 1
    torch.testing.assert_close(shifted[:, shift:], log_odds[:, :-shift], atol=1e-3, rtol=1e-4)


def test_log_odds_are_the_correlation_of_responses_and_template():
    lines = with_random_template(1)
    n_x, n_z = lines.grid.n_samples, REDSHIFT.fine_bins
    response = torch.randn(4, 3, n_x)
    log_odds = lines.log_odds(LineFeatures(response, torch.ones(9, 3, n_x))).detach()
    template = lines.template_RW.detach()
    for z in (0, 1, 777, n_z - 1):
        at_rest = template[:, n_z - 1 - z : n_z - 1 - z + n_x]  # rest wavelengths of the samples at this redshift
        torch.testing.assert_close(log_odds[:, z], torch.einsum("rbx,rx->b", response, at_rest), atol=2e-3, rtol=1e-4)


def test_hidden_samples_have_no_influence(lines):
    flux = spectra(np.full(2, 0.2), {5008.24: 3.0})
    weight = torch.full_like(flux, 100.0)
    weight[:, 600:1200] = 0
    other = flux.clone()
    other[:, 600:1200] = 50 * torch.rand(2, 600)
    features, other_features = lines.features(flux, weight), lines.features(other, weight)
    assert torch.equal(features.response_RBX, other_features.response_RBX)
    x = round(lines.grid.position(float(WAVELENGTH[900])))
    assert (features.response_RBX[:, :, x - 50 : x + 50] == 0).all() and (features.visible_BX[:, x] == 0).all()


def test_fully_hidden_spectrum_has_zero_log_odds_and_no_lines(lines):
    features = lines.features(torch.randn(2, 1500), torch.zeros(2, 1500))
    assert (lines.log_odds(features) == 0).all()
    with torch.no_grad():
        drawing = Lines(LinesConfig(), WIDE, 4, REDSHIFT)
        drawing.amplitudes[-1].bias.fill_(1.0)
    assert (drawing.draw(features, torch.tensor([0.003, 0.24]), torch.ones(2), torch.randn(2, 4)) == 0).all()


@pytest.mark.parametrize("z", [0.2, 0.2003, 0.2005])
def test_line_is_drawn_at_its_wavelength_with_its_profile(z):
    """With an amplitude set by hand: a Gaussian of that width and height, and none at an improbable redshift."""
    drawing = Lines(LinesConfig(), WIDE, 4, REDSHIFT)
    feature = FEATURES.index(5008.24)
    with torch.no_grad():
        bias = torch.zeros(len(FEATURES), len(PROFILES) + len(DERIVATIVES))
        bias[feature, 2] = 0.5 / GAIN  # height 0.5 (1 + 0.5)
        drawing.amplitudes[-1].bias.copy_(bias.flatten())
    flux = spectra(np.array([z, z]), {5008.24: 1.0})
    features = drawing.features(flux, torch.ones_like(flux))
    drawn, improbable = (
        drawing.draw(features, torch.full((2,), math.log1p(z)), torch.tensor([0.75, 0.25]), torch.zeros(2, 4))
        .detach()
        .numpy()
    )
    assert (improbable == 0).all()
    sigma = PROFILES[2] * REDSHIFT.fine_width * 5008.24 * (1 + z)
    expected = 0.75 * np.exp(-0.5 * ((WAVELENGTH - 5008.24 * (1 + z)) / sigma) ** 2)
    # Two linear interpolations, to the grid and back: each adds up to 1/4 to the variance in samples.
    np.testing.assert_allclose(drawn, expected, atol=0.75 * 0.5 * (1 / 4 + 1 / 4) / PROFILES[2] ** 2)
    mean = (drawn * WAVELENGTH).sum() / drawn.sum()
    assert mean == pytest.approx(5008.24 * (1 + z), abs=0.02 * sigma)


@pytest.mark.parametrize("sigma", DERIVATIVES)
def test_derivative_profile_shifts_a_broad_line(sigma):
    """To first order, a Gaussian plus its derivative is shifted by the ratio of the two amplitudes."""
    drawing = Lines(LinesConfig(), WIDE, 4, REDSHIFT)
    feature, shift = FEATURES.index(5008.24), 0.1
    with torch.no_grad():
        bias = torch.zeros(len(FEATURES), len(PROFILES) + len(DERIVATIVES))
        bias[feature, PROFILES.index(sigma)] = 0.01 / GAIN
        bias[feature, len(PROFILES) + DERIVATIVES.index(sigma)] = -0.01 * shift / GAIN
        drawing.amplitudes[-1].bias.copy_(bias.flatten())
    flux = spectra(np.array([0.2]), {5008.24: 1.0})
    features = drawing.features(flux, torch.ones_like(flux))
    drawn_BL = drawing.draw(features, torch.tensor([math.log(1.2)]), torch.ones(1), torch.zeros(1, 4))
    (drawn,) = drawn_BL.detach().numpy()
    position_L = (np.log(WAVELENGTH) - math.log(5008.24 * 1.2)) / REDSHIFT.fine_width  # in samples of ln(wavelength)
    weight_L = drawn / WAVELENGTH  # d ln(wavelength) of a sample is proportional to 1 / wavelength
    mean = (weight_L * position_L).sum() / weight_L.sum()
    assert mean == pytest.approx(shift * sigma, rel=0.02)
    np.testing.assert_allclose(drawn / drawn.max(), np.exp(-0.5 * ((position_L - mean) / sigma) ** 2), atol=0.01)


def test_redshift_and_hidden_line_are_learned_from_visible_lines():
    """Three lines of fixed strengths; the strongest, always hidden, is reconstructed in position, width and height."""
    torch.manual_seed(1)
    lines = Lines(LinesConfig(), WIDE, 4, REDSHIFT)
    rng = np.random.default_rng(3)
    heights = {4862.69: 1.0, 4960.30: 1.0, 5008.24: 3.0}
    optimiser = torch.optim.Adam(lines.parameters(), lr=2e-2)

    def batch(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        z = rng.uniform(0.0, 0.35, n)
        hidden = np.abs(WAVELENGTH - 5008.24 * (1 + z[:, None])) < 20
        return torch.tensor(z, dtype=torch.float32), spectra(z, heights, seed), torch.from_numpy(hidden)

    def predict(flux, hidden, z=None):
        features = lines.features(flux, 100.0 * ~hidden)
        log_odds = lines.log_odds(features)
        shift_B, certainty_B = most_probable(log_odds.detach(), REDSHIFT)
        if z is not None:
            shift_B, certainty_B = z.log1p(), torch.ones(len(z))
        return log_odds, lines.draw(features, shift_B, certainty_B, torch.zeros(len(flux), 4))

    for step in range(120):
        z, flux, hidden = batch(32, step)
        log_odds, drawn = predict(flux, hidden, z)
        loss = redshift_loss(log_odds, z, torch.ones_like(z), REDSHIFT)
        loss = loss + 5 * (drawn - flux).square()[hidden].mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    z, flux, hidden = batch(64, 1000)
    with torch.no_grad():
        log_odds, drawn = predict(flux, hidden)
    found = redshift_quantile(log_odds, 0.5, REDSHIFT)
    assert ((found - z).abs() / (1 + z)).median() < 2 * REDSHIFT.fine_width  # 2 samples: 1.4 of the lines' 4 Angstrom
    truth = spectra(z.double().numpy(), {5008.24: 3.0}, noise=0.0)
    error = ((drawn - truth) * hidden).square().sum(-1) / (truth * hidden).square().sum(-1)
    assert error.median() < 0.1
