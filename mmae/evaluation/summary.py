"""The summary of an evaluation: one answer for each application, against its baseline.

The baseline of redshifts is what the magnitudes of the catalogue give, or the training median without magnitudes; that
of hidden pixels is the best way of filling them in without a network. Everything is computed from the numbers of the
sections (`mmae.report.contents.numbers`), so that stored evaluations have the same summary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from astropy.constants import c as LIGHT_SPEED

from mmae.evaluation.hidden.baselines import METHODS, PAPER
from mmae.plots.comparison import comparison_figure
from mmae.report.contents import Drawing, Finding, Measured, Verdict, cell_text, slug
from mmae.report.score_table import ROW_NAMES

SIGNIFICANT = 2.0  # errors from which a difference counts: 95% confidence
FROM_IMAGES, FROM_SPECTRA, FILLED = (
    "Redshift from images",
    "Redshift from spectra",
    "Filling in hidden images and spectra",
)
REDSHIFT, HIDDEN = "redshift", "hidden"  # names of the sections
MSE = "hidden/targets/mse_of_hidden_pixels"
MSE_DIFFERENCE = "hidden/targets/mse_minus_that_of_the_best_baseline"
CHI2_RATIO = "hidden/targets/chi2_of_hidden_samples_of_galaxies_over_that_of"
SIGMA_LABEL = r"$\sigma_\mathrm{NMAD}$, all z"
MSE_LABEL = "mean squared error of hidden pixels"
NOT_MEASURED = Verdict("Not measured for this model and survey; the section has the reason.")

Numbers = Mapping[str, float]


@dataclass(frozen=True)
class RedshiftScores:
    """Scatter (sigma_NMAD) at all redshifts of one input mode and of its baselines; NaN where there is none.

    Attributes:
        own: of all galaxies of the mode.
        shared: of the galaxies with magnitudes, which `boosting` and `knn` have too.
        gain: `shared` minus `boosting`, from a paired bootstrap.
    """

    own: Measured
    shared: Measured
    boosting: Measured
    knn: Measured
    gain: Measured
    median: Measured
    outliers_percent: Measured
    galaxies: float


def findings(values: Numbers) -> list[Finding]:
    """The three answers.

    Args:
        values: numbers of the sections of one evaluation.
    """
    return [_redshift(values, "image", FROM_IMAGES), _redshift(values, "spectrum", FROM_SPECTRA), _hidden(values)]


def score(values: Numbers, name: str) -> Measured:
    """A number with its error; NaN if it is missing."""
    return Measured(values.get(name, math.nan), values.get(f"{name}_error", math.nan))


def redshift_scores(values: Numbers, mode: str) -> RedshiftScores:
    all_z, row = f"{REDSHIFT}/all_z", f"{REDSHIFT}/baselines/{slug(ROW_NAMES[mode])}"
    return RedshiftScores(
        own=score(values, f"{all_z}/sigma_nmad/{mode}"),
        shared=score(values, f"{row}/sigma_nmad_model"),
        boosting=score(values, f"{row}/sigma_nmad_boosting"),
        knn=score(values, f"{row}/sigma_nmad_knn"),
        gain=score(values, f"{row}/model_minus_boosting"),
        median=score(values, f"{all_z}/sigma_nmad/training_median"),
        outliers_percent=score(values, f"{all_z}/dz_gt0.15_pct/{mode}"),
        galaxies=values.get(f"{all_z}/galaxies/{mode}", math.nan),
    )


def filled_errors(values: Numbers) -> dict[str, Measured]:
    """Way of filling in -> mean squared error of hidden pixels, best first; without other networks."""
    errors = {name: score(values, f"{MSE}/{name.replace(' ', '_')}") for name in METHODS if name != PAPER}
    known = {name: error for name, error in errors.items() if math.isfinite(error.value)}
    return dict(sorted(known.items(), key=lambda item: item[1].value))


def noise_floor(values: Numbers) -> Measured:
    """The mean squared error of a perfect reconstruction."""
    excess = values.get("hidden/targets/excess_over_the_noise_floor/value", math.nan)
    return Measured(values.get(f"{MSE}/value", math.nan) - excess, math.nan)


def _redshift(values: Numbers, mode: str, title: str) -> Finding:
    scores = redshift_scores(values, mode)
    if not math.isfinite(scores.own.value):
        return Finding(title, (NOT_MEASURED,), "", REDSHIFT)
    compared = {
        "this model": scores.shared if math.isfinite(scores.shared.value) else scores.own,
        "gradient boosting on magnitudes": scores.boosting,
        "nearest neighbours in magnitudes": scores.knn,
        "training median": scores.median,
    }
    drawing = Drawing(f"summary_{mode}", f"Scatter of redshifts: {title}.", comparison_figure(compared, SIGMA_LABEL))
    return Finding(title, (_redshift_verdict(scores),), _redshift_numbers(scores, mode), REDSHIFT, drawing)


def _redshift_verdict(scores: RedshiftScores) -> Verdict:
    """Against redshifts from magnitudes, or the training median if there are none."""
    over_median = times(scores.own.value, scores.median.value)
    if math.isfinite(scores.boosting.value):
        ratio, ok = times(scores.shared.value, scores.boosting.value), better(scores.gain)
        than = "that of gradient boosting on catalogue magnitudes"
        further = f", and {over_median} than that of the training median" if over_median else ""
        if ok is None:
            return Verdict(f"Scatter like {than}: the difference is within the errors{further}.")
        return Verdict(f"Scatter {ratio} than {than}{further}.", ok)
    if not over_median:
        return Verdict("No baseline: the survey has neither magnitudes nor training galaxies.")
    error = math.hypot(scores.own.error, scores.median.error)
    ok = better(Measured(scores.own.value - scores.median.value, error))
    return Verdict(f"Scatter {over_median} than that of the training median.", ok)


def _redshift_numbers(scores: RedshiftScores, mode: str) -> str:
    speed = ""
    if mode == "spectrum":
        speed = f" or {scores.own.value * LIGHT_SPEED.to_value('km/s'):,.0f} km/s"
    beside = {"gradient boosting": scores.boosting, "training median": scores.median}
    listed = ", ".join(f"{name} {cell_text(one)}" for name, one in beside.items() if math.isfinite(one.value))
    baselines = f" ({listed})" if listed else ""
    return (
        f"\N{GREEK SMALL LETTER SIGMA}_NMAD {cell_text(scores.own)}{speed}{baselines}; "
        f"{cell_text(scores.outliers_percent)}% outliers; {scores.galaxies:,.0f} galaxies, all z."
    )


def _hidden(values: Numbers) -> Finding:
    own, others = score(values, f"{MSE}/value"), filled_errors(values)
    verdicts, texts, drawing = [], [], None
    if math.isfinite(own.value):
        verdicts.append(_image_verdict(values, own, others))
        floor = noise_floor(values)
        beside = "".join(f", {name} {cell_text(error)}" for name, error in list(others.items())[:1])
        texts.append(
            f"75% of the image hidden, no spectrum: mean squared error {cell_text(own)}{beside}, noise floor "
            f"{floor.value:.3f} (normalised units); {values.get(f'{MSE}/n', math.nan):,.0f} galaxies."
        )
        compared = {"this model": own, **others, "noise floor": floor}
        drawing = Drawing("summary_hidden", "Errors of hidden pixels.", comparison_figure(compared, MSE_LABEL))
    verdicts += [
        _chi2_verdict(score(values, f"{CHI2_RATIO}_{slug(name)}/value"), text)
        for name, text in (
            ("principal components", "principal components"),
            ("templates", "templates at the known redshift"),
        )
        if f"{CHI2_RATIO}_{slug(name)}/value" in values
    ]
    return Finding(FILLED, tuple(verdicts) or (NOT_MEASURED,), " ".join(texts), HIDDEN, drawing)


def _image_verdict(values: Numbers, own: Measured, others: Mapping[str, Measured]) -> Verdict:
    if not others:
        return Verdict("Images: no baseline.")
    best, error = next(iter(others.items()))
    ok = better(score(values, f"{MSE_DIFFERENCE}/{best.replace(' ', '_')}"))
    than = f"the best way without a network ({best})"
    if ok is None:
        return Verdict(f"Images: error like that of {than}, within the errors.")
    return Verdict(f"Images: error {percent(own.value / error.value)} that of {than}.", ok)


def _chi2_verdict(ratio: Measured, than: str) -> Verdict:
    ok = better(Measured(ratio.value - 1, ratio.error))
    if ok is None:
        return Verdict(f"Spectra: chi-square like that of {than}, within the errors.")
    return Verdict(f"Spectra: chi-square {percent(ratio.value)} that of {than}.", ok)


def better(difference: Measured) -> bool | None:
    """Whether a score minus that of the baseline is below 0; None if it is within SIGNIFICANT errors of 0."""
    if not abs(difference.value) > SIGNIFICANT * difference.error:
        return None
    return difference.value < 0


def times(value: float, baseline: float) -> str:
    """`2.4 times smaller`; empty without a positive value of both."""
    if not (value > 0 and baseline > 0):
        return ""
    ratio = max(value, baseline) / min(value, baseline)
    word = "smaller" if value < baseline else "larger"
    return f"{ratio:,.0f} times {word}" if ratio >= 10 else f"{ratio:.1f} times {word}"


def percent(ratio: float) -> str:
    """`23% below` or `6% above`."""
    return f"{abs(1 - ratio):.0%} {'below' if ratio < 1 else 'above'}"
