"""Scores of filled images, with bootstrap errors over galaxies, and the selection of the galaxies for each of them.

Shape suffixes: N galaxies, C bands, R bootstrap resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from mmae.evaluation.hidden.image_measures import CENTRE, FilledMeasures, Masked, band_of, join_measures
from mmae.evaluation.hidden.normalised import mean_of
from mmae.evaluation.images.errors import MIN_SNR
from mmae.metrics.bootstrap import EMPTY, Score, bootstrap_scores
from mmae.survey.schema import SurveySpec

MIN_ELLIPTICITY, MIN_RADIUS = 0.3, 1.0  # 1 - b/a and arcsec: below, noise turns the axis
MIN_CENTRE_AREA = 0.5  # hidden fraction of the central aperture
COLOUR_BANDS = ("g", "i")
FAILED_ANGLE = 90.0  # degrees: a reconstruction without a measurable axis counts as wrong


@dataclass(frozen=True)
class HiddenSample:
    """The galaxies and their masks at one masked fraction.

    Attributes:
        observed: the measures of the observed image itself.
        floor_N: noise floor of the mean squared error from a second noise realisation; NaN where there is none.
        published_N: the same from the published noise.
        noise_NC: background noise of the hidden flux, counts.
        centre_area_N: hidden fraction of the central aperture.
        point_N: point sources, known from the catalogue.
    """

    observed: FilledMeasures
    floor_N: np.ndarray
    published_N: np.ndarray
    noise_NC: np.ndarray
    centre_area_N: np.ndarray
    point_N: np.ndarray

    @property
    def is_exact(self) -> bool:
        """Whether the floor is from second noise realisations."""
        return bool(np.isfinite(self.floor_N).any())

    @property
    def best_floor_N(self) -> np.ndarray:
        """The floor from second realisations if there are any, else from the published noise."""
        return self.floor_N if self.is_exact else self.published_N

    def elongated_N(self) -> np.ndarray:
        """Galaxies with a measurable axis: extended, e > 0.3 and half-light radius above 1 arcsec as observed."""
        o = self.observed
        long_N = ellipticity(o) > MIN_ELLIPTICITY
        return ~self.point_N & long_N & (o.radius_N > MIN_RADIUS)


def sample_of(
    masked: Masked, second_NCHW: np.ndarray | None, published_NCHW: np.ndarray, point_N: np.ndarray
) -> HiddenSample:
    """The galaxies of a batch under one mask.

    Args:
        second_NCHW, published_NCHW: noise floor of each pixel in both ways (`noise_floor`); the first may be unknown.
    """
    hidden_NCHW = masked.hidden_NCHW
    return HiddenSample(
        masked.measure(masked.observed_NCHW, ~point_N),
        np.full(len(masked), np.nan) if second_NCHW is None else mean_of(second_NCHW, hidden_NCHW),
        mean_of(published_NCHW, hidden_NCHW),
        masked.hidden_noise(),
        masked.hidden_area(CENTRE),
        point_N,
    )


def join_samples(parts: Sequence[HiddenSample]) -> HiddenSample:
    """Concatenate the samples of several batches."""
    names = [f.name for f in fields(HiddenSample) if f.name != "observed"]
    arrays = {name: np.concatenate([getattr(p, name) for p in parts]) for name in names}
    return HiddenSample(join_measures([p.observed for p in parts]), **arrays)


@dataclass(frozen=True)
class HiddenScores:
    """Scores of one set of reconstructions; medians over galaxies unless said.

    Attributes:
        mse: mean over galaxies of the mean squared error of hidden pixels, normalised units.
        excess: mean of mse - floor.
        seam: (jump across / jump beside) of the reconstruction over that of the observed image; means over galaxies.
        flux: reconstructed over observed flux of the hidden pixels.
        flux_error: |flux ratio - 1|.
        colour: reconstructed minus observed colour of the hidden pixels, mag.
        colour_error: its absolute value, mag.
        radius: half-light radius of the filled over that of the observed image, extended galaxies.
        ellipticity: difference of 1 - b/a, elongated galaxies.
        angle: |difference| of the position angle, 0 to 90 degrees, elongated galaxies.
        centre: reconstructed over observed central flux of point sources whose centre was hidden.
    """

    mse: Score
    excess: Score
    seam: Score
    flux: Score
    flux_error: Score
    colour: Score
    colour_error: Score
    radius: Score
    ellipticity: Score
    angle: Score
    centre: Score


Scorer = Callable[[FilledMeasures, HiddenSample, np.ndarray | None], HiddenScores]
"""`score_hidden` with the survey, seed and number of resamples set."""


def score_hidden(
    found: FilledMeasures,
    sample: HiddenSample,
    chosen_N: np.ndarray | None = None,
    *,
    spec: SurveySpec,
    seed: int,
    resamples: int,
) -> HiddenScores:
    """All scores of the chosen galaxies (bool, default all)."""
    observed, band = sample.observed, band_of(spec)
    chosen_N = np.isfinite(found.mse_N) if chosen_N is None else chosen_N & np.isfinite(found.mse_N)

    def median(value_N: np.ndarray, where_N: np.ndarray) -> Score:
        value_N = value_N[where_N & chosen_N & np.isfinite(value_N)]
        return bootstrap_scores(value_N, _median, seed=seed, resamples=resamples)["it"]

    bright_NC = observed.flux_NC >= MIN_SNR * sample.noise_NC
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio_NC = found.flux_NC / observed.flux_NC
        blue, red = colour_bands(spec)
        colour_N = -2.5 * np.log10(np.maximum(ratio_NC[:, blue], 0) / np.maximum(ratio_NC[:, red], 0))
        radius_N = found.radius_N / observed.radius_N
        centre_N = found.centre_N / observed.centre_N
    excess_N = found.mse_N - sample.best_floor_N
    both_N = bright_NC[:, blue] & bright_NC[:, red]
    elongated_N = sample.elongated_N()
    hidden_centre_N = sample.point_N & (sample.centre_area_N >= MIN_CENTRE_AREA) & bright_NC[:, band]
    return HiddenScores(
        mean_score(found.mse_N[chosen_N], seed, resamples),
        mean_score(excess_N[chosen_N & np.isfinite(excess_N)], seed, resamples),
        seam_score(found, observed, chosen_N, seed, resamples),
        median(ratio_NC[:, band], bright_NC[:, band]),
        median(np.abs(ratio_NC[:, band] - 1), bright_NC[:, band]),
        median(colour_N, both_N),
        median(np.abs(colour_N), both_N),
        median(radius_N, ~sample.point_N & bright_NC[:, band]),
        median(ellipticity(found) - ellipticity(observed), elongated_N),
        median(angle_difference(found, observed), elongated_N),
        median(centre_N, hidden_centre_N),
    )


def colour_bands(spec: SurveySpec) -> tuple[int, int]:
    """Indices of g and i, or of the first and third band (the last, if there are fewer)."""
    if set(COLOUR_BANDS) <= set(spec.bands):
        return spec.bands.index(COLOUR_BANDS[0]), spec.bands.index(COLOUR_BANDS[1])
    return 0, min(2, len(spec.bands) - 1)


def ellipticity(measures: FilledMeasures) -> np.ndarray:
    """1 - b/a (N,) from the reduced shear |g| = (a - b) / (a + b)."""
    g_N = np.hypot(measures.g1_N, measures.g2_N)
    return 2 * g_N / (1 + g_N)


def angle_difference(one: FilledMeasures, other: FilledMeasures) -> np.ndarray:
    """Angle between the major axes (N,), 0 to 90 degrees; 90 where only `one` has no axis."""
    angle_N = np.degrees(0.5 * (np.arctan2(one.g2_N, one.g1_N) - np.arctan2(other.g2_N, other.g1_N)))
    turned_N = np.abs((angle_N + 90) % 180 - 90)
    return np.where(np.isfinite(one.g1_N) | ~np.isfinite(other.g1_N), turned_N, FAILED_ANGLE)


def mean_score(value_N: np.ndarray, seed: int, resamples: int) -> Score:
    return bootstrap_scores(value_N, lambda x_RN: {"it": x_RN.mean(1)}, seed=seed, resamples=resamples)["it"]


def seam_score(
    found: FilledMeasures, observed: FilledMeasures, chosen_N: np.ndarray, seed: int, resamples: int
) -> Score:
    """Seam ratio of the reconstruction over that of the observed image: 1 without seams."""
    jumps = (found.across_N, found.beside_N, observed.across_N, observed.beside_N)
    rows = np.flatnonzero(chosen_N & np.isfinite(jumps).all(0))

    def ratio(row_RN: np.ndarray) -> dict[str, np.ndarray]:
        a, b, c, d = (jump_N[row_RN].mean(1) for jump_N in jumps)
        with np.errstate(divide="ignore", invalid="ignore"):
            return {"it": a / b / (c / d)}

    return bootstrap_scores(rows, ratio, seed=seed, resamples=resamples)["it"] if rows.size else EMPTY


def difference_score(one: FilledMeasures, other: FilledMeasures, seed: int, resamples: int) -> Score:
    """Mean of the difference of the mean squared errors of the same galaxies."""
    difference_N = one.mse_N - other.mse_N
    return mean_score(difference_N[np.isfinite(difference_N)], seed, resamples)


def _median(x_RN: np.ndarray) -> dict[str, np.ndarray]:
    return {"it": np.median(x_RN, axis=1)}
