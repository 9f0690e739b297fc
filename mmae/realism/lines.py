"""Equivalent widths of emission lines beside those of DESI bright galaxies, like with like.

Shape suffixes: N simulated galaxies, M real ones, J lines (in the order of LINE_NAMES).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmae.realism.figures_spectra import bpt_figure, correlation_figure, width_figure
from mmae.realism.measures import LineSample
from mmae.realism.reference import LINE_NAMES, RealLines, load, read_lines
from mmae.realism.rows import NO_TRUTH, Objects
from mmae.realism.statistics import ks_distance
from mmae.report.contents import Cell, Drawing, Section, Table, Verdict, judge_all, judge_difference, judge_ratio

REDSHIFT_RANGE = (0.06, 0.30)  # of the real sample
COMPARED_CLASS = "BGS"
DONORS = 20  # a simulated galaxy takes its errors from one of so many real ones, nearest in H-alpha
LABELS = ("[O II]", "H-beta", "[O III]", "H-alpha", "[N II]", "[S II]")
RATIOS = (
    ("[N II]/H-alpha", "nii_6584", "halpha"),
    ("[O III]/H-beta", "oiii_5007", "hbeta"),
    ("[S II]/H-alpha", "sii_6716", "halpha"),
    ("[O II]/H-beta", "oii_doublet", "hbeta"),
    ("H-alpha/H-beta", "halpha", "hbeta"),
)
MEDIAN_TOLERANCE, DISTANCE_LIMIT, CORRELATION_TOLERANCE = 0.25, 0.15, 0.15
LEAST_GALAXIES = 50


def observe_widths(true_NJ: np.ndarray, real: RealLines, rng: np.random.Generator) -> np.ndarray:
    """True widths with the errors of real galaxies of about the same H-alpha width.

    The six errors come from one real galaxy, as they belong together: one of the DONORS nearest
    in log width of H-alpha, at random.
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
    """Galaxies with six positive widths: what the real table kept."""
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
    """Widths, ratios, BPT diagram and correlations."""
    low, high = REDSHIFT_RANGE
    text = (
        f"Simulated {COMPARED_CLASS} galaxies at {low} < z < {high} against the DESI bright galaxy survey "
        "(FastSpecFit widths, rest frame). The real table holds only galaxies with all six widths positive, "
        "so that most passive galaxies are absent. Like with like: the true widths of the simulated "
        f"galaxies get the errors of one real galaxy (of the {DONORS} nearest in H-alpha width) and Gaussian "
        "noise, and only those with six positive widths stay. Ratios are of widths, not of fluxes."
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
    if len(simulated.width_NJ) < LEAST_GALAXIES:
        return Section(
            "lines",
            title,
            text,
            left_out=f"Left out: only {len(simulated.width_NJ)} simulated "
            f"galaxies have six positive widths, {LEAST_GALAXIES} are needed; simulate more.",
        )
    in_M = (loaded.value.redshift_N > low) & (loaded.value.redshift_N < high)
    real = LineSample(loaded.value.width_NJ[in_M])
    values = quantities(simulated, real)
    matrices = [np.corrcoef(np.log10(s.width_NJ), rowvar=False) for s in (simulated, real)]
    kept_N = (noisy_NJ > 0).all(axis=1)
    tables = (_width_table(values), _correlation_table(*matrices), _kept_table(truth["galaxy_type"][use_N], kept_N))
    drawings = (
        Drawing("widths", "Distributions of log widths and of their ratios.", width_figure(values)),
        Drawing(
            "bpt",
            "[O III]/H-beta against [N II]/H-alpha of widths. Star-forming galaxies lie below "
            "the solid "
            "line, active nuclei above the dashed one.",
            bpt_figure(simulated, real),
        ),
        Drawing("line_correlation", "Correlation of the log widths.", correlation_figure(*matrices, LABELS)),
    )
    return Section("lines", title, text, tables, drawings)


def _width_table(values: dict[str, tuple[np.ndarray, np.ndarray]]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name, (a_N, b_M) in values.items():
        simulated, real = 10 ** np.percentile(a_N, [16, 50, 84]), 10 ** np.percentile(b_M, [16, 50, 84])
        distance = ks_distance(a_N, b_M)
        verdict = judge_all(judge_ratio(simulated[1], real[1], MEDIAN_TOLERANCE), _judge_distance(distance))
        rows.append((name, *simulated.tolist(), *real.tolist(), float(simulated[1] / real[1]), distance, verdict))
    n, m = (len(v) for v in next(iter(values.values())))
    return Table(
        "widths",
        f"{n:,} simulated and {m:,} real galaxies: 16, 50, 84%",
        ("quantity", "sim 16%", "sim 50%", "sim 84%", "real 16%", "real 50%", "real 84%", "ratio", "KS D", "verdict"),
        tuple(rows),
        note=f"Judged: medians to {MEDIAN_TOLERANCE:.0%} and D <= {DISTANCE_LIMIT}. At these "
        "numbers every p-value is zero and says nothing; D says how far the distributions are "
        "apart.",
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
    return Table("correlation", "Correlation of log widths", ("lines", "simulated", "real", "verdict"), rows)


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
        "Simulated galaxies and those that the cut keeps, by type",
        ("type", "galaxies", "share [%]", "kept", "kept [%]"),
        rows,
    )
