"""Lines of reconstructions in tables, and what is thought of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise

import numpy as np

from mmae.evaluation.lines.catalogue import HALPHA, HBETA, JUDGED, LINES, NII, OIII, Line
from mmae.evaluation.lines.compare import (
    LACKING_BELOW,
    MEDIAN_OF_NOISE,
    RATIO_SIGNAL,
    SIGNAL_CUTS,
    Compared,
    compare_line,
    compare_ratio,
    ew_over_truth,
    median_score,
    scatter_score,
    share_score,
    shift_beyond_noise,
)
from mmae.evaluation.lines.measures import LineMeasures
from mmae.metrics.bootstrap import Score
from mmae.report.contents import Cell, Table, Verdict

WIDTH_TARGET, AMPLITUDE_TARGET, SHIFT_TARGET = 1.5, (0.7, 1.3), 1.0
LEAST_GALAXIES = 10  # for a verdict, and for a bin of redshift
MOST_LACKING = 0.5  # beyond, the width of what is there says nothing of the line
REDSHIFT_EDGES = (0.0, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2, 1.7, 2.3, 3.0, 5.0)
RATIOS = ((NII, HALPHA), (OIII, HBETA))  # of Baldwin, Phillips & Terlevich 1981


@dataclass(frozen=True)
class Summary:
    """A line in one situation above one S/N cut: medians with their 68% intervals."""

    line: Line
    situation: str
    cut: float
    compared: Compared
    lacking: Score
    width: Score
    amplitude: Score
    flux: Score
    ew: Score
    shift: Score
    """Angstrom, with its sign."""
    distance: Score
    """|shift| in resolution elements."""
    noise: float
    """What the error of the observed centre alone would make of `distance`."""
    beyond: Score
    """`distance` less that, in quadrature."""


def summarise(line: Line, situation: str, cut: float, compared: Compared, seed: int) -> Summary:
    """The medians of a comparison."""
    noise = MEDIAN_OF_NOISE * compared.centre_error_K / compared.element_K
    return Summary(
        line,
        situation,
        cut,
        compared,
        share_score(compared.lacking_K),
        median_score(compared.width_K, seed),
        median_score(compared.amplitude_K, seed),
        median_score(compared.flux_K, seed),
        median_score(compared.ew_K, seed),
        median_score(compared.shift_K, seed),
        median_score(np.abs(compared.shift_K) / compared.element_K, seed),
        float(np.median(noise)) if noise.size else np.nan,
        shift_beyond_noise(compared, seed),
    )


def summaries(measures: LineMeasures, seed: int) -> list[Summary]:
    """Every line, in every situation, above every S/N cut."""
    return [
        summarise(line, situation, cut, compare_line(measures, line, situation, cut), seed)
        for line in LINES
        for situation in measures.hidden
        for cut in SIGNAL_CUTS
    ]


def target_table(found: Sequence[Summary]) -> Table:
    """The lines that have targets, judged at the lower S/N cut."""
    low, high = AMPLITUDE_TARGET
    rows: list[tuple[Cell, ...]] = []
    for key in JUDGED:
        here = [s for s in found if s.line.key == key and s.cut == SIGNAL_CUTS[0]]
        for name, target, of, judge in (
            ("width ratio", f"at most {WIDTH_TARGET:g}", lambda s: s.width, _judge_width),
            ("amplitude ratio", f"{low:g} to {high:g}", lambda s: s.amplitude, _judge_amplitude),
            ("centre shift [elements]", f"at most {SHIFT_TARGET:g}", lambda s: s.beyond, _judge_shift),
        ):
            for s in here:
                value = of(s)
                rows.append(
                    (
                        key,
                        name,
                        s.situation,
                        value.n,
                        value.value,
                        value.low,
                        value.high,
                        target,
                        judge(s)
                        if len(s.compared) >= LEAST_GALAXIES
                        else Verdict(f"not judged: {len(s.compared)} galaxies"),
                    )
                )
    return Table(
        "targets",
        f"Targets: lines of S/N {SIGNAL_CUTS[0]:g} or more whose core was hidden",
        ("line", "quantity", "situation", "n", "median", "low", "high", "target", "verdict"),
        tuple(rows),
        note="Reconstructed over observed, with 68% bootstrap intervals. The shift is the typical one beyond "
        "what the error of the observed centre explains, in native resolution elements (FWHM of DESI's "
        f"line-spread function). A line is lacking where its amplitude is below {LACKING_BELOW:.0%} of the "
        "observed one: it has an amplitude and no width; where more than half are lacking the width is "
        "missed. The paper's three spectra (one line each): H-alpha width 15 times too large, amplitude "
        "0.20, 24 A off; Ly-alpha 6.5 and 0.34; C IV 9.0 and 0.35.",
    )


def _judge_width(s: Summary) -> Verdict:
    if s.lacking.value > MOST_LACKING:
        return Verdict(f"misses: {s.lacking.value:.0%} lack the line", False)
    return _at_most(s.width.value, WIDTH_TARGET)


def _judge_amplitude(s: Summary) -> Verdict:
    low, high = AMPLITUDE_TARGET
    value = s.amplitude.value
    if low <= value <= high:
        return Verdict(f"within {low:g} to {high:g}", True)
    return Verdict(f"misses: {'too weak' if value < low else 'too strong'}", False)


def _judge_shift(s: Summary) -> Verdict:
    if s.lacking.value > MOST_LACKING:
        return Verdict(f"misses: {s.lacking.value:.0%} lack the line", False)
    return _at_most(s.beyond.value, SHIFT_TARGET)


def _at_most(value: float, limit: float) -> Verdict:
    if not np.isfinite(value):
        return Verdict("no value to judge")
    if value <= limit:
        return Verdict(f"at most {limit:g}", True)
    return Verdict(f"misses: {value / limit:.3g} x the target", False)


def count_table(found: Sequence[Summary]) -> Table:
    """How many lines there are, and how many of them the reconstructions lack."""
    rows = tuple(
        (
            s.line.key,
            s.situation,
            f"S/N {s.cut:g}",
            s.compared.in_range,
            s.compared.bright,
            len(s.compared),
            s.compared.chi2,
            100 * s.lacking.value,
            100 * s.lacking.low,
            100 * s.lacking.high,
        )
        for s in found
        if s.compared.in_range
    )
    return Table(
        "counts",
        "Lines observed, hidden and lacking in the reconstruction",
        ("line", "situation", "cut", "in range", "bright", "hidden", "chi2 / dof", "lacking [%]", "low", "high"),
        rows,
        note="Bright: above the cut in the observed spectrum, and narrow (FWHM below 1200 km/s) if the line "
        "is a narrow one. Hidden: of these, at least half of the line's core (2 sigma on either side) "
        "and of its surroundings was not shown to the encoder; all else is about these, in their hidden "
        "samples. chi2 / dof: median of the fits to the observed ones.",
    )


def shape_table(found: Sequence[Summary]) -> Table:
    """Width, amplitude and centre."""
    rows = tuple(
        (
            s.line.key,
            s.situation,
            f"S/N {s.cut:g}",
            len(s.compared),
            *_pair(s.width),
            *_pair(s.amplitude),
            *_pair(s.shift),
            *_pair(s.distance),
            s.noise,
        )
        for s in found
        if len(s.compared)
    )
    return Table(
        "shapes",
        "Width, amplitude and centre: medians of reconstructed against observed",
        (
            "line",
            "situation",
            "cut",
            "n",
            "width ratio",
            "width error",
            "amplitude ratio",
            "amplitude error",
            "shift [A]",
            "shift error",
            "distance [elements]",
            "distance error",
            "of noise alone",
        ),
        rows,
        note="Errors are half of the 68% bootstrap interval. The distance is the shift without its sign, in "
        "resolution elements; the last column is what the error of the observed centre alone would "
        "make of it.",
    )


def flux_table(found: Sequence[Summary]) -> Table:
    """Flux and equivalent width."""
    rows = tuple(
        (s.line.key, s.situation, f"S/N {s.cut:g}", len(s.compared), *_pair(s.flux), *_pair(s.ew))
        for s in found
        if len(s.compared)
    )
    return Table(
        "fluxes",
        "Flux and equivalent width: medians of reconstructed over observed",
        ("line", "situation", "cut", "n", "flux ratio", "flux error", "EW ratio", "EW error"),
        rows,
    )


def redshift_table(found: Sequence[Summary], seed: int) -> Table:
    """The medians in bins of redshift, at the lower S/N cut."""
    rows: list[tuple[Cell, ...]] = []
    for s in found:
        if s.cut != SIGNAL_CUTS[0]:
            continue
        for low, high in pairwise(REDSHIFT_EDGES):
            in_K = (s.compared.redshift_K >= low) & (s.compared.redshift_K < high)
            if in_K.sum() < LEAST_GALAXIES:
                continue
            part = summarise(s.line, s.situation, s.cut, chosen(s.compared, in_K), seed)
            rows.append(
                (
                    s.line.key,
                    s.situation,
                    f"{low:g} to {high:g}",
                    int(in_K.sum()),
                    100 * part.lacking.value,
                    *_pair(part.width),
                    *_pair(part.amplitude),
                    *_pair(part.distance),
                )
            )
    return Table(
        "redshift",
        f"By redshift, S/N {SIGNAL_CUTS[0]:g} or more",
        (
            "line",
            "situation",
            "redshift",
            "n",
            "lacking [%]",
            "width ratio",
            "width error",
            "amplitude ratio",
            "amplitude error",
            "distance [elements]",
            "distance error",
        ),
        tuple(rows),
        note=f"Bins of {LEAST_GALAXIES} galaxies or more.",
    )


def chosen(compared: Compared, in_K: np.ndarray) -> Compared:
    """Some of the galaxies of a comparison."""
    arrays = {f.name: getattr(compared, f.name)[in_K] for f in fields(compared) if f.name.endswith("_K")}
    return replace(compared, **arrays)


def ratio_table(measures: LineMeasures, seed: int) -> Table:
    """Line ratios of the BPT diagram."""
    rows: list[tuple[Cell, ...]] = []
    for over, under in RATIOS:
        for situation in measures.hidden:
            r = compare_ratio(measures, over, under, situation)
            change_K = r.reconstructed_K - r.observed_K
            lacking = share_score(~np.isfinite(r.reconstructed_K))
            rows.append(
                (
                    f"log {over.key} / {under.key}",
                    situation,
                    r.observed_K.size,
                    100 * lacking.value,
                    *_pair(median_score(change_K, seed)),
                    *_pair(scatter_score(change_K, seed)),
                    float(np.median(r.error_K)) if r.error_K.size else None,
                    *_pair(scatter_score(r.observed_K, seed)),
                )
            )
    return Table(
        "ratios",
        f"Line ratios, all lines of S/N {RATIO_SIGNAL:g} or more: reconstructed minus observed, dex",
        (
            "ratio",
            "situation",
            "n",
            "lacking [%]",
            "median",
            "median error",
            "scatter",
            "scatter error",
            "noise alone",
            "spread of galaxies",
            "spread error",
        ),
        tuple(rows),
        note="Lacking: one of the two lines is. Scatter and spread are 1.4826 MAD. A reconstruction that "
        "knows nothing of a galaxy's ratio scatters as much as galaxies differ (last but one column).",
    )


def truth_table(measures: LineMeasures, seed: int) -> Table | None:
    """Equivalent widths over the true ones; None where there is no truth."""
    rows: list[tuple[Cell, ...]] = []
    for line in LINES:
        for situation in (None, *measures.hidden):
            ratio_K = ew_over_truth(measures, line, situation, SIGNAL_CUTS[0])
            if ratio_K.size:
                with np.errstate(divide="ignore", invalid="ignore"):
                    log_K = np.where(ratio_K > 0, np.log10(ratio_K), np.nan)
                rows.append(
                    (
                        line.key,
                        situation or "observed",
                        ratio_K.size,
                        *_pair(median_score(ratio_K, seed)),
                        *_pair(scatter_score(log_K, seed)),
                    )
                )
    if not rows:
        return None
    return Table(
        "truth",
        f"Equivalent width over the true one, lines of S/N {SIGNAL_CUTS[0]:g} or more",
        ("line", "spectrum", "n", "ratio", "ratio error", "scatter [dex]", "scatter error"),
        tuple(rows),
        note="The truth is of all light of a galaxy and of the emission alone. A fibre sees more of the "
        "bulge, which has no lines, and Balmer lines stand in the stars' absorption: the observed "
        "ones are below the truth too.",
    )


def _pair(score: Score) -> tuple[float, float]:
    return score.value, score.error
