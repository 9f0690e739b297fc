"""Equivalent widths of emission lines, compared with DESI bright galaxies after the same selection.

Shape suffixes: N simulated galaxies, M real galaxies, J lines (in the order of LINE_NAMES).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmae.astro.lines import LINE_NAMES
from mmae.realism.columns import KS_DISTANCE, PERCENTILE_COLUMNS, PERCENTS, RATIO, REAL, SIMULATED, VERDICT
from mmae.realism.figures_spectra import bpt_figure, correlation_figure, width_figure
from mmae.realism.measures import LineSample
from mmae.realism.reference import RealLines, load, read_lines
from mmae.realism.rows import NO_TRUTH, Objects
from mmae.realism.statistics import ks_distance
from mmae.report.contents import (
    Cell,
    Column,
    Drawing,
    Section,
    Table,
    Verdict,
    judge_all,
    judge_difference,
    judge_ratio,
)

REDSHIFT_RANGE = (0.06, 0.30)  # of the real sample
COMPARED_CLASS = "BGS"
DONORS = 20  # errors are taken from one of the DONORS real galaxies nearest in H-alpha width
LABELS = ("[O II]", "H-beta", "[O III]", "H-alpha", "[N II]", "[S II]")
RATIOS = (
    ("[N II]/H-alpha", "nii_6584", "halpha"),
    ("[O III]/H-beta", "oiii_5007", "hbeta"),
    ("[S II]/H-alpha", "sii_6716", "halpha"),
    ("[O II]/H-beta", "oii_doublet", "hbeta"),
    ("H-alpha/H-beta", "halpha", "hbeta"),
)
MEDIAN_TOLERANCE, DISTANCE_LIMIT, CORRELATION_TOLERANCE = 0.25, 0.15, 0.15
MIN_GALAXIES = 50


def observe_widths(true_NJ: np.ndarray, real: RealLines, rng: np.random.Generator) -> np.ndarray:
    """True widths (N,J) plus Gaussian noise with the errors of real galaxies of similar H-alpha width.

    The six errors of a galaxy are taken from the same real galaxy, as they are correlated: a random one of the
    DONORS nearest in log H-alpha width.
    """
    halpha = LINE_NAMES.index("halpha")
    order = np.argsort(real.width_NJ[:, halpha], kind="stable")
    log_real = np.log10(real.width_NJ[order, halpha])
    log_true_N = np.log10(np.maximum(true_NJ[:, halpha], 10 ** log_real[0]))
    nearest_N = np.searchsorted(log_real, log_true_N)
    first_N = np.clip(nearest_N - DONORS // 2, 0, max(0, order.size - DONORS))
    donor_N = order[np.minimum(first_N + rng.integers(0, DONORS, first_N.size), order.size - 1)]
    return true_NJ + rng.standard_normal(true_NJ.shape) * real.ivar_NJ[donor_N] ** -0.5


def positive(width_NJ: np.ndarray) -> LineSample:
    """Galaxies with six positive widths, the selection of the real table."""
    return LineSample(width_NJ[(width_NJ > 0).all(axis=1)])


def quantities(simulated: LineSample, real: LineSample) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """log10 of six widths and five ratios: name -> simulated (N,) and real (M,) values."""
    found = {
        f"{label} [A]": (np.log10(simulated.width_NJ[:, j]), np.log10(real.width_NJ[:, j]))
        for j, label in enumerate(LABELS)
    }
    for label, over, under in RATIOS:
        found[label] = (np.log10(simulated.ratio(over, under)), np.log10(real.ratio(over, under)))
    return found


def line_section(objects: Objects, reference: Path | None, seed: int) -> Section:
    """Section on widths, ratios, BPT diagram and correlations."""
    low, high = REDSHIFT_RANGE
    text = (
        f"Simulated {COMPARED_CLASS} galaxies at {low} < z < {high} against the DESI Bright Galaxy Survey "
        "(FastSpecFit widths, rest frame). The real table contains only galaxies with six positive widths and "
        "lacks most passive galaxies. The same selection is applied to the simulation: Gaussian noise with the "
        f"errors of a real galaxy (one of the {DONORS} nearest in H-alpha width) is added to the true widths, and "
        "galaxies with six positive widths are kept. Ratios are of widths, not of fluxes."
    )
    title = "Emission lines"
    if objects.truth is None:
        return Section("lines", title, text, left_out=NO_TRUTH)
    loaded = load(read_lines, reference)
    if loaded.value is None:
        return Section("lines", title, text, left_out=loaded.reason)
    truth = objects.truth
    true_NJ = np.stack([truth[f"{name}_ew"] for name in LINE_NAMES], axis=1)
    use_N = (
        (truth["target_class"] == COMPARED_CLASS)
        & (truth["redshift_true"] > low)
        & (truth["redshift_true"] < high)
        & np.isfinite(true_NJ).all(axis=1)
    )
    simulated = LineSample(np.empty((0, len(LINE_NAMES))))
    if use_N.any():
        noisy_NJ = observe_widths(true_NJ[use_N], loaded.value, np.random.default_rng(seed))
        simulated = positive(noisy_NJ)
    if len(simulated.width_NJ) < MIN_GALAXIES:
        return Section(
            "lines",
            title,
            text,
            left_out=f"Left out: {len(simulated.width_NJ)} simulated galaxies have six positive widths, at least "
            f"{MIN_GALAXIES} are needed. Simulate more galaxies.",
        )
    in_M = (loaded.value.redshift_N > low) & (loaded.value.redshift_N < high)
    real = LineSample(loaded.value.width_NJ[in_M])
    values = quantities(simulated, real)
    matrices = [np.corrcoef(np.log10(s.width_NJ), rowvar=False) for s in (simulated, real)]
    kept_N = (noisy_NJ > 0).all(axis=1)
    tables = (_width_table(values), _correlation_table(*matrices), _kept_table(truth["galaxy_type"][use_N], kept_N))
    drawings = (
        Drawing("widths", "Distributions of log widths and log ratios.", width_figure(values)),
        Drawing(
            "bpt",
            "[O III]/H-beta against [N II]/H-alpha of widths. Below the solid line: star-forming galaxies; above the "
            "dashed line: active nuclei.",
            bpt_figure(simulated, real),
        ),
        Drawing("line_correlation", "Correlation of the log widths.", correlation_figure(*matrices, LABELS)),
    )
    return Section("lines", title, text, tables, drawings)


def _width_table(values: dict[str, tuple[np.ndarray, np.ndarray]]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name, (a_N, b_M) in values.items():
        simulated, real = 10 ** np.percentile(a_N, PERCENTS), 10 ** np.percentile(b_M, PERCENTS)
        distance = ks_distance(a_N, b_M)
        verdict = judge_all(judge_ratio(simulated[1], real[1], MEDIAN_TOLERANCE), _judge_distance(distance))
        rows.append((name, *simulated.tolist(), *real.tolist(), float(simulated[1] / real[1]), distance, verdict))
    n, m = (len(v) for v in next(iter(values.values())))
    return Table(
        "widths",
        f"{n:,} simulated and {m:,} real galaxies: 16, 50, 84%",
        (Column("quantity"), *PERCENTILE_COLUMNS, RATIO, KS_DISTANCE, VERDICT),
        tuple(rows),
        note=f"Judged: medians to {MEDIAN_TOLERANCE:.0%} and D <= {DISTANCE_LIMIT}. p-values are zero for samples of "
        "this size and not shown; D measures the difference of the distributions.",
    )


def _judge_distance(distance: float) -> Verdict:
    if distance <= DISTANCE_LIMIT:
        return Verdict(f"D <= {DISTANCE_LIMIT}", True)
    return Verdict(f"misses: D = {distance:.2f}", False)


def _correlation_table(simulated_JJ: np.ndarray, real_JJ: np.ndarray) -> Table:
    rows = tuple(
        (
            f"{LABELS[j]} with {LABELS[k]}",
            float(simulated_JJ[j, k]),
            float(real_JJ[j, k]),
            judge_difference(simulated_JJ[j, k], real_JJ[j, k], CORRELATION_TOLERANCE),
        )
        for j in range(len(LABELS))
        for k in range(j + 1, len(LABELS))
    )
    columns = (Column("lines"), SIMULATED, REAL, VERDICT)
    return Table("correlation", "Correlation of log widths", columns, rows)


def _kept_table(type_N: np.ndarray, kept_N: np.ndarray) -> Table:
    rows = tuple(
        (
            name or "unknown",
            int((type_N == name).sum()),
            100 * float((type_N == name).mean()),
            int((kept_N & (type_N == name)).sum()),
            100 * float(kept_N[type_N == name].mean()),
        )
        for name in sorted(set(type_N.tolist()))
    )
    return Table(
        "kept",
        "Simulated galaxies before and after the selection, by type",
        (
            Column("type"),
            Column("n", "galaxies"),
            Column("share_percent", "share [%]"),
            Column("n_kept", "kept"),
            Column("kept_percent", "kept [%]"),
        ),
        rows,
    )
