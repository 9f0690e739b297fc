"""Warning flags: each bit is set by what it is named after, and by nothing else. Shape suffixes as in flags.py."""

from __future__ import annotations

import numpy as np
import pytest

from mmae.core.errors import InputError
from mmae.inference import flags
from mmae.inference.fit_flags import FLAGGED, fit_flags, save_flags
from mmae.inference.flags import FlagLimits, flag, information, load_flags, outside_peak
from mmae.inference.readings import Readings

EDGES = np.linspace(0, np.log(5.0), 101)
MIDDLE = (EDGES[1:] + EDGES[:-1]) / 2
WIDTH = 6  # of the embeddings


def gaussian(centre_N: np.ndarray, sigma: float) -> np.ndarray:
    p_NK = np.exp(-0.5 * ((MIDDLE - centre_N[:, None]) / sigma) ** 2)
    return p_NK / p_NK.sum(-1, keepdims=True)


def readings(
    x_N: np.ndarray, *, sigma: float = 0.02, seed: int = 0, embedding_ND: np.ndarray | None = None
) -> Readings:
    """p(z) of width sigma at ln(1+z) = x, and correlated embeddings of very different variance."""
    n = len(x_N)
    if embedding_ND is None:
        rng = np.random.default_rng(seed)
        embedding_ND = rng.normal(size=(n, WIDTH)) * 10.0 ** np.arange(-3, 3) + 5.0
        embedding_ND[:, 1] += embedding_ND[:, 5]
    return Readings(np.ones(n, bool), np.expm1(x_N), gaussian(x_N, sigma), EDGES, embedding_ND)


def redshifts(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.1, 1.0, n)


@pytest.fixture(scope="module")
def limits() -> FlagLimits:
    x_N, y_N = redshifts(2000, 0), redshifts(2000, 1)
    found = fit_flags({"image": readings(x_N, seed=2)}, {"image": readings(y_N, seed=3)}, np.expm1(x_N))
    assert found is not None
    return found


def test_galaxies_like_those_of_the_training_set_are_flagged_as_often_as_stated(limits):
    bits_N = flag(limits, "image", readings(redshifts(20_000, 4), seed=5))
    unlike_N = bits_N & flags.UNLIKE_TRAINING > 0
    # Binomial error of the share, and of the quantile on 2,000 validation galaxies.
    assert unlike_N.mean() == pytest.approx(FLAGGED, abs=4 * np.sqrt(0.01 * 0.99 * (1 / 20_000 + 1 / 2000)))
    assert not (bits_N & ~(flags.UNLIKE_TRAINING | flags.OUTSIDE_TRAINING_RANGE)).any()


def test_an_embedding_that_breaks_a_correlation_is_unlike_the_training_set(limits):
    """Each of its numbers alone is usual."""
    embedding_ND = readings(redshifts(50, 6), seed=7).embedding_ND
    embedding_ND[:, 1] = embedding_ND[::-1, 1] + 150.0
    bits_N = flag(limits, "image", readings(np.full(50, 0.5), embedding_ND=embedding_ND))
    assert (bits_N == flags.UNLIKE_TRAINING).mean() > 0.9


def test_wide_and_double_p_of_z_and_redshifts_out_of_range(limits):
    embedding_1D = readings(redshifts(2000, 0), seed=2).embedding_ND.mean(0, keepdims=True)

    def bits(x: float, p_1K: np.ndarray) -> int:
        one = Readings(np.ones(1, bool), np.expm1([x]), p_1K, EDGES, embedding_1D)
        return int(flag(limits, "image", one)[0])

    peak, other = gaussian(np.array([0.4]), 0.02), gaussian(np.array([0.9]), 0.02)
    assert bits(0.4, peak) == 0
    assert bits(0.4, limits.prior_K[None]) == flags.LITTLE_EVIDENCE + flags.SECOND_PEAK
    assert bits(0.4, 0.95 * peak + 0.05 * other) == 0
    assert bits(0.4, 0.8 * peak + 0.2 * other) == flags.SECOND_PEAK
    assert bits(1.3, gaussian(np.array([1.3]), 0.02)) == flags.OUTSIDE_TRAINING_RANGE


def test_what_lacks_a_modality_has_nothing_observed_and_no_other_flag(limits):
    seen = readings(redshifts(3, 0))
    seen.usable_N[1] = False
    seen.embedding_ND[1] = np.nan
    assert flag(limits, "image", seen)[1] == flags.NOTHING_OBSERVED


def test_a_mode_without_enough_galaxies_has_no_distance():
    x_N = redshifts(60, 0)
    few = readings(x_N[:10])
    found = fit_flags({"image": readings(x_N), "spectrum": few}, {"image": readings(x_N), "spectrum": few}, x_N)
    assert list(found.modes) == ["image"]
    embedding_ND = np.full((10, WIDTH), 1e6)
    bits_N = flag(found, "spectrum", readings(x_N[:10], embedding_ND=embedding_ND))
    assert not (bits_N & flags.UNLIKE_TRAINING).any()


def test_without_p_of_z_there_are_no_flags():
    plain = Readings(np.ones(60, bool), redshifts(60, 0), None, None, np.zeros((60, WIDTH)))
    assert fit_flags({"image": plain}, {"image": plain}, redshifts(60, 0)) is None


def test_information_is_the_logarithm_of_how_much_narrower_p_of_z_is():
    uniform_K = np.full(100, 0.01)
    half_K = np.where(np.arange(100) < 50, 0.02, 0.0)
    assert information(np.stack([uniform_K, half_K]), uniform_K) == pytest.approx([0, np.log(2)])


def test_probability_outside_the_peak_is_that_of_the_bins_farther_away():
    p_1K = np.zeros((1, 100))
    at, far = 30, 30 + int(np.ceil(flags.PEAK / (EDGES[1] - EDGES[0]))) + 1
    p_1K[0, [at, at + 1, far]] = 0.5, 0.3, 0.2
    assert outside_peak(p_1K, EDGES, np.expm1(MIDDLE[[at]])) == pytest.approx([0.2])


def test_limits_are_read_as_they_were_written_and_nothing_else_is(limits, tmp_path):
    assert load_flags(tmp_path) is None
    save_flags(limits, tmp_path)
    read = load_flags(tmp_path)
    sample = readings(redshifts(500, 8), seed=9)
    assert (flag(read, "image", sample) == flag(limits, "image", sample)).all()
    assert (read.low, read.high) == (limits.low, limits.high)
    with (tmp_path / flags.FILE).open("wb") as file:
        np.savez(file, prior=np.array([{"a": 1}], object))
    with pytest.raises(InputError, match=flags.FILE):
        load_flags(tmp_path)
    (tmp_path / flags.FILE).write_bytes(b"PK")
    with pytest.raises(InputError, match=flags.FILE):
        load_flags(tmp_path)
