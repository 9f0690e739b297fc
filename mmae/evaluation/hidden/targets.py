"""The table of targets for hidden parts of images and spectra.

Targets: 75% of the image hidden in patches of 8 pixels, image only; spectra and lines: 75% of image and spectrum
hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from mmae.evaluation.hidden.baselines import METHODS, PAPER
from mmae.evaluation.hidden.image_scores import HiddenScores, difference_score
from mmae.evaluation.hidden.image_tables import MIN_GALAXIES, value_or_none
from mmae.evaluation.hidden.parts import IMAGE_ONLY, JUDGED, WITH_SPECTRUM, HiddenParts, Key
from mmae.evaluation.hidden.spectra import COMPONENTS, TEMPLATES
from mmae.evaluation.hidden.spectrum_tables import JUDGED_SIGNAL, chi2_ratio, line_score
from mmae.metrics.bootstrap import Score
from mmae.report.contents import Cell, Column, Table, Verdict, judge_at_least, judge_at_most, judge_range

MAX_MSE, MAX_SEAM, MAX_ANGLE, MIN_CENTRE = 0.120, 1.15, 12.0, 0.7
MAX_EXCESS = 0.040  # a quarter of that of mmae 0.2: an error of 0.244 with a noise floor of 0.085
RATIO_RANGE = (0.9, 1.1)  # half-light radius, hidden flux, line flux
MAX_COLOUR = 0.05  # mag
MAX_OVER_TEMPLATES = 1.03
NOT_GIVEN = "not given"

Judge = Callable[[float], Verdict]


def _within(value: float) -> Verdict:
    return judge_range(value, *RATIO_RANGE)


def _below(limit: float) -> Judge:
    return lambda value: judge_at_most(value, limit)


def _below_zero(value: float) -> Verdict:
    if not np.isfinite(value):
        return Verdict("no value to judge")
    return Verdict("below 0", True) if value < 0 else Verdict(f"misses: by {value:+.3g}", False)


RANGE = f"{RATIO_RANGE[0]:g} to {RATIO_RANGE[1]:g}"
IMAGE_TARGETS: tuple[tuple[str, str, str, Judge | None], ...] = (
    ("MSE of hidden pixels", "mse", f"at most {MAX_MSE:g}", _below(MAX_MSE)),
    ("excess over the noise floor", "excess", f"at most {MAX_EXCESS:g}", _below(MAX_EXCESS)),
    ("seam ratio", "seam", f"at most {MAX_SEAM:g}", _below(MAX_SEAM)),
    ("position angle [deg], median absolute difference", "angle", f"at most {MAX_ANGLE:g}", _below(MAX_ANGLE)),
    ("half-light radius ratio, median", "radius", RANGE, _within),
    ("hidden flux ratio, median", "flux", RANGE, _within),
    ("hidden flux, median absolute (ratio - 1)", "flux_error", "", None),
    (
        "hidden g-i [mag], median difference",
        "colour",
        f"within {MAX_COLOUR:g}",
        lambda value: judge_range(value, -MAX_COLOUR, MAX_COLOUR),
    ),
    ("hidden g-i [mag], median absolute difference", "colour_error", "", None),
    (
        "central flux of point sources, median ratio",
        "centre",
        f"at least {MIN_CENTRE:g}",
        lambda value: judge_at_least(value, MIN_CENTRE),
    ),
)


def target_table(parts: HiddenParts, scores: Mapping[Key, HiddenScores], seed: int, resamples: int) -> Table:
    """One row per target: value with error, target, verdict, and the baselines beside."""
    rows: list[tuple[Cell, ...]] = []
    if parts.samples:
        rows += _image_rows(parts, scores, seed, resamples)
    if parts.spectra is not None:
        rows += _spectrum_rows(parts, seed, resamples)
    return Table(
        "targets",
        f"Targets: {JUDGED:.0%} hidden, patches of {parts.patch} pixels, image only unless said",
        (
            *(Column("quantity"), Column("n"), Column("value"), Column("target"), Column("verdict")),
            *(Column(name.replace(" ", "_"), name) for name in METHODS),
        ),
        tuple(rows),
        note="Targets are for patches of 8 pixels. Errors are half of the 68% bootstrap interval over galaxies. MSE: "
        "mean over galaxies, in normalised units. Position angle and ellipticity: galaxies with 1 - b/a above 0.3 and "
        "half-light radius above 1 arcsec as observed, seeing included. Filled image: observed where visible; seams "
        "and fluxes are of the reconstruction alone. Central flux: hidden pixels within 0.5 arcsec of point sources. "
        f"Lines: drawn at S/N {JUDGED_SIGNAL:g} or more, both modalities partly hidden. Paper: the model of "
        "--baseline-run.",
    )


def _image_rows(
    parts: HiddenParts, scores: Mapping[Key, HiddenScores], seed: int, resamples: int
) -> list[tuple[Cell, ...]]:
    model = scores[IMAGE_ONLY, JUDGED]
    rows: list[tuple[Cell, ...]] = []
    for text, name, target, judge in IMAGE_TARGETS:
        value: Score = getattr(model, name)
        beside = [
            value_or_none(getattr(scores[method, JUDGED], name)) if (method, JUDGED) in scores else _missing(method)
            for method in METHODS
        ]
        rows.append((text, value.n, value_or_none(value), target, _verdict(value, judge), *beside))
    own = parts.filled[IMAGE_ONLY, JUDGED]
    differences = [
        difference_score(own, parts.filled[method, JUDGED], seed, resamples)
        if (method, JUDGED) in parts.filled
        else None
        for method in METHODS
    ]
    given = [d for d in differences if d is not None]
    worst = max(given, key=lambda d: d.value)
    beside = [
        _missing(method) if d is None else value_or_none(d) for method, d in zip(METHODS, differences, strict=True)
    ]
    text = "MSE minus that of the best baseline"
    rows.insert(1, (text, worst.n, value_or_none(worst), "below 0", _verdict(worst, _below_zero), *beside))
    if (WITH_SPECTRUM, JUDGED) in parts.filled:
        gain = difference_score(parts.filled[WITH_SPECTRUM, JUDGED], own, seed, resamples)
        text = "MSE with a quarter of the spectrum minus without"
        rows.append(
            (text, gain.n, value_or_none(gain), "below 0", _verdict(gain, _beyond_error(gain)), *_no_baselines())
        )
    return rows


def _spectrum_rows(parts: HiddenParts, seed: int, resamples: int) -> list[tuple[Cell, ...]]:
    spectra = parts.spectra
    assert spectra is not None
    rows: list[tuple[Cell, ...]] = []
    for other, target, judge in (
        (TEMPLATES, f"at most {MAX_OVER_TEMPLATES:g}", _below(MAX_OVER_TEMPLATES)),
        (COMPONENTS, "at most 1", _below(1.0)),
    ):
        ratio = chi2_ratio(spectra, other, ~spectra.point_N, seed, resamples)
        text = f"chi2 of hidden samples of galaxies over that of {other}"
        rows.append((text, ratio.n, value_or_none(ratio), target, _verdict(ratio, judge), *_no_baselines()))
    for key, lines in spectra.lines.items():
        ratio = line_score(lines, JUDGED_SIGNAL, np.inf, seed, resamples)
        text = f"observed over drawn flux of {key}"
        rows.append((text, ratio.n, value_or_none(ratio), RANGE, _verdict(ratio, _within), *_no_baselines()))
    return rows


def _beyond_error(score: Score) -> Judge:
    """Below zero by more than the 68% error."""

    def judge(value: float) -> Verdict:
        if value + score.error < 0:
            return Verdict("below 0 beyond the error", True)
        return Verdict("misses: not below 0 beyond the error", False)

    return judge


def _verdict(score: Score, judge: Judge | None) -> Verdict:
    if judge is None:
        return Verdict("no target")
    return judge(score.value) if score.n >= MIN_GALAXIES else Verdict(f"not judged: {score.n} galaxies")


def _missing(method: str) -> Cell:
    return NOT_GIVEN if method == PAPER else None


def _no_baselines() -> list[Cell]:
    return [None] * len(METHODS)
