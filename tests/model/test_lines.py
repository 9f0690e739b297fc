"""Features that vote for a redshift, and the grid on which a redshift is a shift."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mmae.model.lines import ABSORPTION, BREAKS, EMISSION, FEATURES, GAIN, LEANING, PROFILES, Lines, LinesConfig, Seen
from mmae.model.log_wavelength import LogWavelength
from mmae.model.redshift import RedshiftConfig, most_probable, redshift_loss, redshift_quantile
from tests.model.galaxies import FULL_SPEC, SPEC

WIDE = replace(SPEC, n_wavelengths=1500, wavelength_start=4000.0, wavelength_step=2.0)
REDSHIFT = RedshiftConfig(z_max=1.0, bins=50, refinement=40)
WAVELENGTH = 4000.0 + 2.0 * np.arange(1500)


def spectra(z_N: np.ndarray, heights: dict[float, float], seed: int = 0, noise: float = 0.1) -> torch.Tensor:
    """Lines of 4 Angstrom standard deviation on nothing, with noise: (N, L)."""
    z_N1 = z_N[:, None]
    flux = sum(h * np.exp(-0.5 * ((WAVELENGTH - w * (1 + z_N1)) / 4) ** 2) for w, h in heights.items())
    return torch.tensor(flux + np.random.default_rng(seed).normal(0, noise, flux.shape), dtype=torch.float32)


@pytest.fixture(scope="module")
def lines() -> Lines:
    torch.manual_seed(0)
    return Lines(LinesConfig(), WIDE, 4, REDSHIFT)


@pytest.mark.parametrize(("spec", "step"), [(WIDE, 3.5e-4), (FULL_SPEC, 3.2e-4), (FULL_SPEC, 1e-4), (SPEC, 0.02)])
def test_no_flux_is_lost_between_the_grids(spec, step):
    grid = LogWavelength(spec, step)
    value = torch.rand(3, spec.n_wavelengths, generator=torch.Generator().manual_seed(1))
    value[:, : 200 * spec.n_wavelengths // 7781 + 4] = value[:, -4 - 200 * spec.n_wavelengths // 7781 :] = (
        0  # the grids end in different places
    )
    torch.testing.assert_close(grid.running(value).diff(dim=-1).sum(-1), value.double().sum(-1), rtol=1e-4, atol=1e-3)


def test_what_is_linear_in_ln_wavelength_comes_back():
    grid = LogWavelength(FULL_SPEC, 3.2e-4)
    ln_X = grid.first + grid.step * torch.arange(grid.n_samples)
    ln_L = torch.from_numpy(np.log(3600 + 0.8 * np.arange(7781))).float()
    back_L = grid.back(ln_X[None] - 8)[0]
    torch.testing.assert_close(back_L[:-3], ln_L[:-3] - 8, rtol=0, atol=3e-6)


@pytest.mark.parametrize("z", [0.0, 0.1, 0.33])
def test_a_line_stands_where_its_redshift_puts_it(z):
    grid = LogWavelength(WIDE, REDSHIFT.fine_width)
    rest = 5008.24
    flux = spectra(np.array([z]), {rest: 1.0}, noise=0.0)
    peak = grid.running(flux).diff(dim=-1).argmax().item()
    assert abs(peak - grid.place(rest) - math.log1p(z) / grid.step) <= 1


def test_features_are_known_lines_in_angstrom():
    assert len(FEATURES) == len(set(FEATURES)) == len(EMISSION) + len(ABSORPTION) + len(BREAKS)
    assert min(FEATURES) > 900 and max(FEATURES) < 10_000
    assert {1216.25, 3727.09, 5008.24, 6564.61} <= set(EMISSION)


def with_a_template(seed: int) -> Lines:
    torch.manual_seed(seed)
    lines = Lines(LinesConfig(), WIDE, 4, REDSHIFT)
    torch.nn.init.normal_(lines.template_RW)
    return lines


def test_a_shift_of_the_spectrum_is_a_shift_of_the_votes():
    """Whatever the template."""
    lines = with_a_template(0)
    n_x, shift = lines.grid.n_samples, 37
    response = torch.zeros(4, 2, n_x)
    response[:, :, 500:800] = torch.randn(4, 2, 300)
    contrast = torch.ones(9, 2, n_x)
    votes = lines.votes(Seen(response, contrast))
    moved = lines.votes(Seen(response.roll(shift, -1), contrast))
    assert votes.shape == (2, REDSHIFT.fine_bins) and votes.abs().max() > 1
    torch.testing.assert_close(moved[:, shift:], votes[:, :-shift], atol=1e-3, rtol=1e-4)


def test_votes_are_the_responses_times_the_template_at_rest():
    lines = with_a_template(1)
    n_x, n_z = lines.grid.n_samples, REDSHIFT.fine_bins
    response = torch.randn(4, 3, n_x)
    votes = lines.votes(Seen(response, torch.ones(9, 3, n_x))).detach()
    template = lines.template_RW.detach()
    for z in (0, 1, 777, n_z - 1):
        at_rest = template[:, n_z - 1 - z : n_z - 1 - z + n_x]  # what the samples are if this is the redshift
        torch.testing.assert_close(votes[:, z], torch.einsum("rbx,rx->b", response, at_rest), atol=2e-3, rtol=1e-4)


def test_hidden_samples_say_nothing(lines):
    flux = spectra(np.full(2, 0.2), {5008.24: 3.0})
    weight = torch.full_like(flux, 100.0)
    weight[:, 600:1200] = 0
    other = flux.clone()
    other[:, 600:1200] = 50 * torch.rand(2, 600)
    seen, seen_other = lines.look(flux, weight), lines.look(other, weight)
    assert torch.equal(seen.response_RBX, seen_other.response_RBX)
    place = round(lines.grid.place(float(WAVELENGTH[900])))
    assert (seen.response_RBX[:, :, place - 50 : place + 50] == 0).all() and (seen.visible_BX[:, place] == 0).all()


def test_nothing_visible_votes_and_draws_nothing(lines):
    seen = lines.look(torch.randn(2, 1500), torch.zeros(2, 1500))
    assert (lines.votes(seen) == 0).all()
    with torch.no_grad():
        drawing = Lines(LinesConfig(), WIDE, 4, REDSHIFT)
        drawing.amplitudes[-1].bias.fill_(1.0)
    assert (drawing.draw(seen, torch.tensor([0.003, 0.24]), torch.ones(2), torch.randn(2, 4)) == 0).all()


@pytest.mark.parametrize("z", [0.2, 0.2003, 0.2005])
def test_a_feature_is_drawn_at_its_wavelength_with_its_profile(z):
    """With an amplitude set by hand: a Gaussian of the stated width and height, and none where the redshift is a guess."""
    drawing = Lines(LinesConfig(), WIDE, 4, REDSHIFT)
    feature = FEATURES.index(5008.24)
    with torch.no_grad():
        bias = torch.zeros(len(FEATURES), len(PROFILES) + len(LEANING))
        bias[feature, 2] = 0.5 / GAIN  # 0.5 (1 + 0.5) high
        drawing.amplitudes[-1].bias.copy_(bias.flatten())
    flux = spectra(np.array([z, z]), {5008.24: 1.0})
    seen = drawing.look(flux, torch.ones_like(flux))
    drawn, guessed = (
        drawing.draw(seen, torch.full((2,), math.log1p(z)), torch.tensor([0.75, 0.25]), torch.zeros(2, 4))
        .detach()
        .numpy()
    )
    assert (guessed == 0).all()
    sigma = PROFILES[2] * REDSHIFT.fine_width * 5008.24 * (1 + z)
    expected = 0.75 * np.exp(-0.5 * ((WAVELENGTH - 5008.24 * (1 + z)) / sigma) ** 2)
    # Divided linearly among samples, into the grid and out of it: each adds up to 1/4 to the variance in samples.
    np.testing.assert_allclose(drawn, expected, atol=0.75 * 0.5 * (1 / 4 + 1 / 4) / PROFILES[2] ** 2)
    mean = (drawn * WAVELENGTH).sum() / drawn.sum()
    assert mean == pytest.approx(5008.24 * (1 + z), abs=0.02 * sigma)


@pytest.mark.parametrize("sigma", LEANING)
def test_a_broad_line_can_stand_beside_its_place(sigma):
    """With its derivative added, a Gaussian is one that is moved by the ratio of the two amplitudes, to first order."""
    drawing = Lines(LinesConfig(), WIDE, 4, REDSHIFT)
    feature, moved = FEATURES.index(5008.24), 0.1
    with torch.no_grad():
        bias = torch.zeros(len(FEATURES), len(PROFILES) + len(LEANING))
        bias[feature, PROFILES.index(sigma)] = 0.01 / GAIN
        bias[feature, len(PROFILES) + LEANING.index(sigma)] = -0.01 * moved / GAIN
        drawing.amplitudes[-1].bias.copy_(bias.flatten())
    flux = spectra(np.array([0.2]), {5008.24: 1.0})
    (drawn,) = (
        drawing.draw(
            drawing.look(flux, torch.ones_like(flux)), torch.tensor([math.log(1.2)]), torch.ones(1), torch.zeros(1, 4)
        )
        .detach()
        .numpy()
    )
    place_L = (np.log(WAVELENGTH) - math.log(5008.24 * 1.2)) / REDSHIFT.fine_width  # in samples of ln(wavelength)
    measure_L = drawn / WAVELENGTH
    mean = (measure_L * place_L).sum() / measure_L.sum()
    assert mean == pytest.approx(moved * sigma, rel=0.02)
    np.testing.assert_allclose(drawn / drawn.max(), np.exp(-0.5 * ((place_L - mean) / sigma) ** 2), atol=0.01)


def test_redshift_and_a_hidden_line_are_learned_from_the_others():
    """Three lines of fixed strengths; the strongest is always hidden and comes back in place, width and height."""
    torch.manual_seed(1)
    lines = Lines(LinesConfig(), WIDE, 4, REDSHIFT)
    rng = np.random.default_rng(3)
    heights = {4862.68: 1.0, 4960.30: 1.0, 5008.24: 3.0}
    optimiser = torch.optim.Adam(lines.parameters(), lr=2e-2)

    def batch(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        z = rng.uniform(0.0, 0.35, n)
        hidden = np.abs(WAVELENGTH - 5008.24 * (1 + z[:, None])) < 20
        return torch.tensor(z, dtype=torch.float32), spectra(z, heights, seed), torch.from_numpy(hidden)

    def looked(flux, hidden, z=None):
        seen = lines.look(flux, 100.0 * ~hidden)
        votes = lines.votes(seen)
        shift_B, certainty_B = most_probable(votes.detach(), REDSHIFT)
        if z is not None:
            shift_B, certainty_B = z.log1p(), torch.ones(len(z))
        return votes, lines.draw(seen, shift_B, certainty_B, torch.zeros(len(flux), 4))

    for step in range(120):
        z, flux, hidden = batch(32, step)
        votes, drawn = looked(flux, hidden, z)
        loss = redshift_loss(votes, z, torch.ones_like(z, dtype=torch.bool), REDSHIFT)
        loss = loss + 5 * (drawn - flux).square()[hidden].mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    z, flux, hidden = batch(64, 1000)
    with torch.no_grad():
        votes, drawn = looked(flux, hidden)
    found = redshift_quantile(votes, 0.5, REDSHIFT)
    assert ((found - z).abs() / (1 + z)).median() < 2 * REDSHIFT.fine_width  # 2 samples: 1.4 of the lines' 4 Angstrom
    truth = spectra(z.double().numpy(), {5008.24: 3.0}, noise=0.0)
    error = ((drawn - truth) * hidden).square().sum(-1) / (truth * hidden).square().sum(-1)
    assert error.median() < 0.1
