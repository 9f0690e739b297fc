"""Report section on hidden parts of images and spectra: targets, detailed tables, a figure of six galaxies."""

from __future__ import annotations

from functools import partial

from mmae.evaluation.catalogue import Catalogue
from mmae.evaluation.hidden.baselines import METHODS
from mmae.evaluation.hidden.gallery import gallery_figure
from mmae.evaluation.hidden.image_scores import HiddenScores, score_hidden
from mmae.evaluation.hidden.image_tables import filled_table, floor_table, strata_table
from mmae.evaluation.hidden.parts import IMAGE_ONLY, INPUTS, JUDGED, HiddenParts, Key
from mmae.evaluation.hidden.spectrum_tables import calibration_table, chi2_table
from mmae.evaluation.hidden.targets import target_table
from mmae.report.contents import Column, Drawing, Section, Table
from mmae.survey.schema import SurveySpec

NAME, TITLE = "hidden", "Hidden parts of images and spectra"


def hidden_section(parts: HiddenParts, catalogue: Catalogue, spec: SurveySpec, *, seed: int, resamples: int) -> Section:
    """Tables, verdicts and figure.

    Args:
        catalogue: the measured galaxies, in their order.
    """
    score = partial(score_hidden, spec=spec, seed=seed, resamples=resamples)
    scores: dict[Key, HiddenScores] = {
        (name, ratio): score(measures, parts.samples[ratio]) for (name, ratio), measures in parts.filled.items()
    }
    tables: list[Table] = [target_table(parts, scores, seed, resamples)]
    if parts.samples:
        sample = parts.samples[JUDGED]
        others = [(name, parts.filled[name, JUDGED]) for name in METHODS if (name, JUDGED) in parts.filled]
        best = min(others, key=lambda one: scores[one[0], JUDGED].mse.value) if others else None
        title = f"{JUDGED:.0%} hidden, image only, by type and size"
        tables += [
            filled_table("inputs", "Images filled by the model", scores, INPUTS, Column("input")),
            filled_table(
                "baselines",
                "Images filled by the baselines, same masks",
                scores,
                METHODS,
                Column("method"),
                _methods(parts),
            ),
            strata_table(parts.filled[IMAGE_ONLY, JUDGED], best, sample, catalogue, score, title),
            floor_table(parts.samples, seed, resamples),
        ]
    if parts.spectra is not None:
        tables += [
            chi2_table(parts.spectra, catalogue, seed, resamples),
            calibration_table(parts.spectra.lines, catalogue, seed, resamples),
        ]
    drawings = ()
    if parts.gallery:
        caption = (
            f"The first galaxies of the split of six kinds, {JUDGED:.0%} of the image hidden in patches of "
            f"{parts.patch} pixels, no spectrum."
        )
        drawings = (Drawing("hidden_gallery", caption, gallery_figure(parts.gallery, spec)),)
    kept = tuple(table for table in tables if table.rows)
    return Section(NAME, TITLE, _text(parts), kept, drawings)


def _text(parts: HiddenParts) -> str:
    text = (
        "Patches chosen uniformly at random are hidden from the model: its own tokens, squares of "
        f"{parts.patch} pixels. Errors of hidden pixels are in normalised units: arcsinh(counts / background noise), "
        "minus mean, over standard deviation of the survey. The observed image is noisy, so that the mean squared "
        "error of a perfect reconstruction is the noise floor. "
    )
    if parts.patch != 8:
        text += "The targets are for patches of 8 pixels: with larger ones less can be known. "
    return text + (
        "Fluxes, colours and the central flux are those of the hidden pixels, of the reconstruction and of the "
        "observed image, within 3 arcsec (0.5 arcsec for the central flux) and at S/N 10 or more. Seam ratio: mean "
        "absolute jump across a border of two hidden patches over that between the pixels one pixel beside it, divided "
        "by the same of the observed image. Radius and shape are those of the filled image: observed where visible."
    )


def _methods(parts: HiddenParts) -> str:
    nearest = f"the mean of the {parts.neighbours} training images" if parts.neighbours else "not known: no training"
    return (
        "Symmetry and profile: the visible pixel opposite to the centre, else the median of the visible pixels of the "
        f"band in annuli, interpolated in radius. Nearest training images: {nearest} with the smallest squared "
        "difference of the visible pixels; the number is chosen on training images that were left out. Interpolation: "
        "linear, between visible pixels. Paper: the model of --baseline-run, if its patches have the same size."
    )
