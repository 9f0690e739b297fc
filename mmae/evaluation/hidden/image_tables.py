"""Tables of filled images: by masked fraction and input, baselines, type and size.

Shape suffix: N galaxies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mmae.evaluation.catalogue import Catalogue
from mmae.evaluation.cells import measured
from mmae.evaluation.hidden.image_measures import FilledMeasures
from mmae.evaluation.hidden.image_scores import HiddenSample, HiddenScores, Scorer, ellipticity, mean_score
from mmae.evaluation.hidden.parts import Key
from mmae.metrics.bootstrap import Score
from mmae.report.contents import Cell, Column, Table

MIN_GALAXIES = 10  # in a row of type or size, and for a median
SIZE_EDGES = (0.0, 0.6, 0.8, 1.0, 1.3, np.inf)  # arcsec, half-light radius as observed
ELLIPTICITY_EDGES = (0.0, 0.15, 0.3, 0.5, 1.0)
N = Column("n")
SCORES = (
    Column("mse", "MSE"),
    Column("excess", "excess over noise"),
    Column("seam", "seam ratio"),
    Column("flux", "flux ratio"),
    Column("flux_error", "|flux ratio - 1|"),
    Column("colour", "colour [mag]"),
    Column("colour_error", "|colour| [mag]"),
    Column("radius", "half-light radius ratio"),
    Column("ellipticity", "ellipticity"),
    Column("angle", "position angle [deg]"),
    Column("centre", "central flux kept"),
)


def score_cells(scores: HiddenScores) -> tuple[Cell, ...]:
    """Number of galaxies and all scores; a median of fewer than 10 galaxies is left out."""
    values = [getattr(scores, column.name) for column in SCORES]
    return (scores.mse.n, *(measured(score) if score.n >= MIN_GALAXIES else None for score in values))


def filled_table(
    name: str, title: str, found: Mapping[Key, HiddenScores], of: Sequence[str], first: Column, note: str = ""
) -> Table:
    """Scores of several inputs or methods at all masked fractions."""
    rows = [(key, f"{ratio:.0%}", *score_cells(scores)) for (key, ratio), scores in found.items() if key in of]
    rows.sort(key=lambda row: (of.index(row[0]), row[1]))
    return Table(name, title, (first, Column("masked"), N, *SCORES), tuple(rows), note)


def floor_table(samples: Mapping[float, HiddenSample], seed: int, resamples: int) -> Table:
    """The noise floor in both ways."""
    rows = []
    for ratio, sample in samples.items():
        both_N = np.isfinite(sample.floor_N) & np.isfinite(sample.published_N)
        known_N = both_N if both_N.any() else np.isfinite(sample.published_N)
        exact = measured(mean_score(sample.floor_N[both_N], seed, resamples)) if both_N.any() else None
        published = measured(mean_score(sample.published_N[known_N], seed, resamples))
        rows.append((f"{ratio:.0%}", int(known_N.sum()), exact, published))
    return Table(
        "floor",
        "Noise floor of the mean squared error of hidden pixels",
        (Column("masked"), N, Column("second_realisation"), Column("published_noise")),
        tuple(rows),
        note="Second realisation: half of the mean squared difference of two noise realisations of the same simulated "
        "galaxies, rendered again from the seed of the survey. Published noise: expected variance of arcsinh((signal + "
        "noise) / sigma) about its mean for the background noise of each band and the photon noise of the signal, with "
        "the observed image smoothed by 1.5 pixels as the signal. The excess uses the first where it is known.",
    )


def strata_of(sample: HiddenSample, catalogue: Catalogue) -> dict[str, dict[str, np.ndarray]]:
    """Family -> label -> members (N,): target class, Tractor type, size, ellipticity."""
    strata = {
        "class": _classes(catalogue.kind_N),
        "type": _classes(catalogue.morphtype_N),
        "half-light radius [arcsec]": _bins(sample.observed.radius_N, SIZE_EDGES, ~sample.point_N),
        "ellipticity": _bins(ellipticity(sample.observed), ELLIPTICITY_EDGES, ~sample.point_N),
    }
    return {family: members for family, members in strata.items() if members}


def strata_table(
    model: FilledMeasures,
    best: tuple[str, FilledMeasures] | None,
    sample: HiddenSample,
    catalogue: Catalogue,
    score: Scorer,
    title: str,
) -> Table:
    """Scores by type and size, with the error of the best baseline beside."""
    rows: list[tuple[Cell, ...]] = []
    for family, members in strata_of(sample, catalogue).items():
        for label, member_N in members.items():
            scores = score(model, sample, member_N)
            if scores.mse.n < MIN_GALAXIES:
                continue
            other = None if best is None else measured(score(best[1], sample, member_N).mse)
            rows.append((family, label, *score_cells(scores), other))
    beside = "best baseline" if best is None else best[0]
    return Table(
        "strata",
        title,
        (Column("by"), Column("stratum"), N, *SCORES, Column("baseline_mse", f"MSE of {beside}")),
        tuple(rows),
        note=f"Strata of {MIN_GALAXIES} galaxies or more. Sizes and ellipticities are those of the observed image.",
    )


def value_or_none(score: Score | None) -> Cell:
    """A cell of a score that may not exist."""
    return None if score is None or score.n < MIN_GALAXIES else measured(score)


def _classes(name_N: np.ndarray) -> dict[str, np.ndarray]:
    return {str(name): name_N == name for name in sorted({*name_N.tolist()} - {""})}


def _bins(value_N: np.ndarray, edges: Sequence[float], of_N: np.ndarray) -> dict[str, np.ndarray]:
    found = {}
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        label = f"{low:g} to {high:g}" if np.isfinite(high) else f"{low:g} and more"
        found[label] = of_N & (value_N >= low) & (value_N < high)
    return {label: member_N for label, member_N in found.items() if member_N.any()}
