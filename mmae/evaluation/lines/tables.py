"""Tables of reconstructed lines: counts, medians of reconstructed against observed, verdicts on the targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise

import numpy as np

from mmae.evaluation.cells import measured
from mmae.evaluation.lines.catalogue import HALPHA, HBETA, JUDGED, LINES, NII, OIII, Line
from mmae.evaluation.lines.compare import (
    MEDIAN_OF_NOISE,
    MISSING_BELOW,
    RATIO_SIGNAL,
    SIGNAL_CUTS,
    Compared,
    compare_line,
    compare_ratio,
    ew_over_truth,
    fraction_score,
    median_score,
    scatter_score,
    shift_beyond_noise,
)
from mmae.evaluation.lines.measures import LineMeasures
from mmae.metrics.bootstrap import Score
from mmae.report.contents import Cell, Column, Table, Verdict, judge_at_most

WIDTH_TARGET, AMPLITUDE_TARGET, SHIFT_TARGET = 1.5, (0.7, 1.3), 1.0
MIN_GALAXIES = 10  # for a verdict, and for a bin of redshift
MAX_MISSING = 0.5  # above this fraction, the widths of the lines that are present do not describe the line
REDSHIFT_EDGES = (0.0, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2, 1.7, 2.3, 3.0, 5.0)
RATIOS = ((NII, HALPHA), (OIII, HBETA))  # Baldwin, Phillips & Terlevich 1981

LINE, SITUATION, CUT, N = Column("line"), Column("situation"), Column("cut"), Column("n")
MISSING = Column("missing_percent", "missing [%]")
WIDTH, AMPLITUDE = Column("width_ratio"), Column("amplitude_ratio")
DISTANCE = Column("distance_elements", "distance [elements]")


@dataclass(frozen=True)
class Summary:
    """A line in one situation above one S/N cut: medians with their 68% intervals."""

    line: Line
    situation: str
    cut: float
    compared: Compared
    missing: Score
    width: Score
    amplitude: Score
    flux: Score
    ew: Score
    shift: Score
    """Signed, Angstrom."""
    distance: Score
    """|shift| in resolution elements."""
    noise: float
    """Contribution of the observed centre's error to `distance`."""
    beyond: Score
    """`distance` minus `noise`, in quadrature."""


def summarise(line: Line, situation: str, cut: float, compared: Compared, seed: int) -> Summary:
    """The medians of a comparison."""
    noise = MEDIAN_OF_NOISE * compared.centre_error_K / compared.element_K
    return Summary(
        line,
        situation,
        cut,
        compared,
        fraction_score(compared.missing_K),
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
    """Verdicts on the lines that have targets, at the lower S/N cut."""
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
                n = len(s.compared)
                verdict = judge(s) if n >= MIN_GALAXIES else Verdict(f"not judged: {n} galaxies")
                value = of(s)
                rows.append((key, name, s.situation, value.n, value.value, value.low, value.high, target, verdict))
    return Table(
        "targets",
        f"Targets: lines of S/N {SIGNAL_CUTS[0]:g} or more with a masked core",
        (
            LINE,
            Column("quantity"),
            SITUATION,
            N,
            Column("median"),
            Column("low"),
            Column("high"),
            Column("target"),
            Column("verdict"),
        ),
        tuple(rows),
        note="Reconstructed over observed, with 68% bootstrap intervals. The shift is the median |shift| after "
        "subtracting the error of the observed centre in quadrature, in native resolution elements (FWHM of DESI's "
        f"line-spread function). A line is missing if its amplitude is below {MISSING_BELOW:.0%} of the observed "
        "one: its amplitude counts, its width does not; if more than half are missing, the width target is "
        "missed. The paper's three spectra (one line each): H-alpha width 15 times too large, amplitude "
        "0.20, 24 A off; Ly-alpha 6.5 and 0.34; C IV 9.0 and 0.35.",
    )


def _judge_width(s: Summary) -> Verdict:
    if s.missing.value > MAX_MISSING:
        return Verdict(f"misses: no line in {s.missing.value:.0%}", False)
    return judge_at_most(s.width.value, WIDTH_TARGET)


def _judge_amplitude(s: Summary) -> Verdict:
    low, high = AMPLITUDE_TARGET
    value = s.amplitude.value
    if low <= value <= high:
        return Verdict(f"within {low:g} to {high:g}", True)
    return Verdict(f"misses: {'too weak' if value < low else 'too strong'}", False)


def _judge_shift(s: Summary) -> Verdict:
    if s.missing.value > MAX_MISSING:
        return Verdict(f"misses: no line in {s.missing.value:.0%}", False)
    return judge_at_most(s.beyond.value, SHIFT_TARGET)


def count_table(found: Sequence[Summary]) -> Table:
    """Numbers of observed and masked lines, and the fraction missing in the reconstructions."""
    rows = tuple(
        (
            s.line.key,
            s.situation,
            f"S/N {s.cut:g}",
            s.compared.in_range,
            s.compared.bright,
            len(s.compared),
            s.compared.chi2,
            100 * s.missing.value,
            100 * s.missing.low,
            100 * s.missing.high,
        )
        for s in found
        if s.compared.in_range
    )
    return Table(
        "counts",
        "Lines observed, masked and missing in the reconstruction",
        (
            LINE,
            SITUATION,
            CUT,
            Column("in_range"),
            Column("bright"),
            Column("masked"),
            Column("chi2_per_dof", "chi2 / dof"),
            MISSING,
            Column("missing_low_percent", "low"),
            Column("missing_high_percent", "high"),
        ),
        rows,
        note="Bright: above the cut in the observed spectrum; narrow lines also need a FWHM below 1200 km/s. "
        "Masked: bright lines with at least half of the core (2 sigma on either side) and of the fit window hidden "
        "from the encoder. The other tables use these lines and their masked samples only. chi2 / dof: median "
        "of the fits to the observed spectra.",
    )


def shape_table(found: Sequence[Summary]) -> Table:
    """Width, amplitude and centre."""
    rows = tuple(
        (
            s.line.key,
            s.situation,
            f"S/N {s.cut:g}",
            len(s.compared),
            *map(measured, (s.width, s.amplitude, s.shift, s.distance)),
            s.noise,
        )
        for s in found
        if len(s.compared)
    )
    return Table(
        "shapes",
        "Width, amplitude and centre: medians of reconstructed against observed",
        (
            *(LINE, SITUATION, CUT, N, WIDTH, AMPLITUDE),
            Column("shift_angstrom", "shift [A]"),
            DISTANCE,
            Column("distance_noise", "from noise alone"),
        ),
        rows,
        note="Errors are half of the 68% bootstrap interval. The distance is |shift| in resolution elements; "
        "the last column is the distance that the error of the observed centre alone would give.",
    )


def flux_table(found: Sequence[Summary]) -> Table:
    """Flux and equivalent width."""
    rows = tuple(
        (s.line.key, s.situation, f"S/N {s.cut:g}", len(s.compared), measured(s.flux), measured(s.ew))
        for s in found
        if len(s.compared)
    )
    return Table(
        "fluxes",
        "Flux and equivalent width: medians of reconstructed over observed",
        (LINE, SITUATION, CUT, N, Column("flux_ratio"), Column("ew_ratio", "EW ratio")),
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
            if in_K.sum() < MIN_GALAXIES:
                continue
            part = summarise(s.line, s.situation, s.cut, chosen(s.compared, in_K), seed)
            rows.append(
                (
                    s.line.key,
                    s.situation,
                    f"{low:g} to {high:g}",
                    int(in_K.sum()),
                    100 * part.missing.value,
                    *map(measured, (part.width, part.amplitude, part.distance)),
                )
            )
    return Table(
        "redshift",
        f"By redshift, S/N {SIGNAL_CUTS[0]:g} or more",
        (LINE, SITUATION, Column("redshift"), N, MISSING, WIDTH, AMPLITUDE, DISTANCE),
        tuple(rows),
        note=f"Bins of {MIN_GALAXIES} galaxies or more.",
    )


def chosen(compared: Compared, in_K: np.ndarray) -> Compared:
    """The galaxies of a comparison selected by the mask (K,)."""
    arrays = {f.name: getattr(compared, f.name)[in_K] for f in fields(compared) if f.name.endswith("_K")}
    return replace(compared, **arrays)


def ratio_table(measures: LineMeasures, seed: int) -> Table:
    """Line ratios of the BPT diagram."""
    rows: list[tuple[Cell, ...]] = []
    for over, under in RATIOS:
        for situation in measures.hidden:
            r = compare_ratio(measures, over, under, situation)
            change_K = r.reconstructed_K - r.observed_K
            missing = fraction_score(~np.isfinite(r.reconstructed_K))
            rows.append(
                (
                    f"log {over.key} / {under.key}",
                    situation,
                    r.observed_K.size,
                    100 * missing.value,
                    measured(median_score(change_K, seed)),
                    measured(scatter_score(change_K, seed)),
                    float(np.median(r.error_K)) if r.error_K.size else None,
                    measured(scatter_score(r.observed_K, seed)),
                )
            )
    return Table(
        "ratios",
        f"Line ratios, both lines of S/N {RATIO_SIGNAL:g} or more: reconstructed minus observed, dex",
        (
            *(Column("ratio"), SITUATION, N, MISSING, Column("median"), Column("scatter")),
            Column("noise", "from noise alone"),
            Column("galaxy_spread", "spread of galaxies"),
        ),
        tuple(rows),
        note="Missing: one of the two lines is. Scatter and spread are 1.4826 MAD. The scatter of a reconstruction "
        "without information on the ratio equals the spread of the galaxies (last column).",
    )


def truth_table(measures: LineMeasures, seed: int) -> Table | None:
    """Equivalent widths over the true ones; None without a truth."""
    rows: list[tuple[Cell, ...]] = []
    for line in LINES:
        for situation in (None, *measures.hidden):
            ratio_K = ew_over_truth(measures, line, situation, SIGNAL_CUTS[0])
            if ratio_K.size:
                with np.errstate(divide="ignore", invalid="ignore"):
                    log_K = np.where(ratio_K > 0, np.log10(ratio_K), np.nan)
                scores = (median_score(ratio_K, seed), scatter_score(log_K, seed))
                rows.append((line.key, situation or "observed", ratio_K.size, *map(measured, scores)))
    if not rows:
        return None
    return Table(
        "truth",
        f"Equivalent width over the true one, lines of S/N {SIGNAL_CUTS[0]:g} or more",
        (LINE, Column("spectrum"), N, Column("ratio"), Column("scatter_dex", "scatter [dex]")),
        tuple(rows),
        note="The true width is that of the whole galaxy and of the emission alone. A fibre contains more of the "
        "bulge, which has no lines, and Balmer emission is reduced by stellar absorption: observed widths "
        "are below the true ones too.",
    )
