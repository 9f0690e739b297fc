"""Report section on point redshifts.

Shape suffix: N galaxies.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mmae.evaluation.catalogue import Catalogue
from mmae.evaluation.cells import measured
from mmae.evaluation.photoz.figures import modes_figure, trend_figure
from mmae.evaluation.photoz.predictions_file import PredictionsFile
from mmae.evaluation.photoz.scoring import FamilyScores, PointScores, StratumScores, modes_of, score_predictions
from mmae.evaluation.photoz.strata import MIN_GALAXIES, families, redshift_family
from mmae.evaluation.photoz.table_baselines import baselines_table
from mmae.metrics.photoz import METRICS, RATES
from mmae.metrics.redshift import ALL_Z, BASELINE, LOW_Z, selection
from mmae.plots.redshift import redshift_figure
from mmae.report.contents import Cell, Column, Drawing, Section, Table, Verdict, slug
from mmae.report.score_table import PAPER_ALL_Z, PAPER_LOW_Z, PAPER_NOTE, PAPER_OUTLIERS, PAPER_ROW, ROW_NAMES

NAME, TITLE = "redshift", "Point redshifts"
TEXT = (
    "dz = (z_pred - z_spec) / (1 + z_spec). sigma_NMAD is 1.4826 times the median absolute deviation of dz about "
    "its median, the bias its median. Biweight scale and location are those of Beers, Flynn & Gebhardt (1990), as "
    "used for HSC (Tanaka et al. 2018). Outliers have |dz| > 0.15; 3 sigma outliers, |dz| > max(0.06, 3 IQR / "
    "1.349) (LSST Science Book 2009; Schmidt et al. 2020); catastrophic outliers, |z_pred - z_spec| > 1 (Jones et "
    "al. 2024). The rms is that of dz about zero, outliers included. The HSC loss is the mean of 1 - 1 / (1 + "
    "(dz / 0.15)²) (Tanaka et al. 2018). Errors are half of the 68% interval: from a bootstrap over galaxies, for "
    "rates from Wilson (1927). A prediction that is not finite is an outlier by every definition. All galaxies with a "
    "redshift are included: quasars and point sources are separate strata."
)
HEADINGS = {
    "sigma_nmad": "sigma_NMAD",
    "sigma_biweight": "sigma biweight",
    "rms": "rms",
    "bias": "bias",
    "bias_biweight": "bias biweight",
    "outlier_rate": "|dz|>0.15",
    "outlier_rate_3sigma": "|dz|>3 sigma",
    "catastrophic_rate": "catastrophic",
    "hsc_loss": "HSC loss",
    "not_finite": "not finite",
}
TABLES = {LOW_Z: "low_z", ALL_Z: "all_z"}
GALAXIES = Column("n", "galaxies")
TOO_FEW = Verdict("too few")
MODES_CAPTION = (
    "Predicted against spectroscopic redshift, and in the inset at z < 0.4; dashed: |dz| = 0.15. "
    "The inset is in the corner with fewer galaxies."
)
TREND_CAPTION = "Scatter, bias and outliers in bins, with 68% intervals, at the median of the galaxies in the bin."


def point_section(
    catalogue: Catalogue,
    predictions: Mapping[str, np.ndarray],
    snr_N: np.ndarray | None,
    *,
    z_train: np.ndarray | None,
    seed: int,
    resamples: int,
    baselines: Mapping[str, np.ndarray] | None = None,
) -> Section:
    """Tables of all scores at z < 0.4 and all z and in strata, and their figures.

    Args:
        catalogue: of the N galaxies.
        predictions: mode ("image", "spectrum", "both") -> (N,) redshifts; NaN for galaxies without
            the inputs of the mode.
        snr_N: median S/N per sample of the spectrum, NaN without a spectrum.
        z_train: redshifts of the training set, for the baseline.
        seed: of the bootstrap.
        resamples: number of bootstrap resamples; at most 200 are used for strata.
        baselines: redshifts from magnitudes alone, see `table_baselines`.

    Raises:
        InputError: lengths of a prediction and the catalogue differ.
    """
    scored = score_predictions(
        catalogue.redshift_N, predictions, families(catalogue, snr_N), z_train=z_train, seed=seed, resamples=resamples
    )
    compared = baselines_table(catalogue.redshift_N, predictions, baselines or {}, seed=seed, resamples=resamples)
    return render(scored, catalogue.redshift_N, predictions, (compared,) if compared else ())


def render(
    scored: PointScores, redshift_N: np.ndarray, predictions: Mapping[str, np.ndarray], further: tuple[Table, ...] = ()
) -> Section:
    """The section from the scores of `score_predictions` for these redshifts.

    Args:
        further: tables after the main ones.
    """
    modes = modes_of(scored)
    left_out = " ".join(
        f"{_name(mode)}: no galaxy with a redshift has a prediction; add spectroscopic redshifts, or galaxies with "
        f"the inputs of this mode."
        for mode in predictions
        if mode not in modes
    )
    if not modes:
        return Section(NAME, TITLE, TEXT, left_out=left_out or "No predictions were given.")
    tables = [*(_main_table(scored, name) for name in (LOW_Z, ALL_Z)), *further]
    tables += [_family_table(family, mode) for family in scored.families for mode in modes]
    return Section(NAME, TITLE, TEXT, tuple(tables), _drawings(scored, redshift_N, predictions), left_out)


def file_section(file: PredictionsFile, *, seed: int, resamples: int) -> Section:
    """Scores of a predictions file: the paper's scores, then all scores that need no catalogue."""
    scored = score_predictions(
        file.redshift_N,
        file.predictions,
        [redshift_family(file.redshift_N)],
        z_train=None,
        seed=seed,
        resamples=resamples,
    )
    section = render(scored, file.redshift_N, file.predictions)
    return Section(
        NAME,
        f"{TITLE} of {file.path.name}",
        TEXT,
        (_paper_table(file, scored), *section.tables),
        section.drawings,
        section.left_out,
    )


def _paper_table(file: PredictionsFile, scored: PointScores) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (
            _name(mode),
            scores[ALL_Z]["outlier_rate"].n,
            measured(scores[LOW_Z]["sigma_nmad"]),
            measured(scores[ALL_Z]["sigma_nmad"]),
            measured(scores[ALL_Z]["outlier_rate"], 100),
        )
        for mode, scores in scored.table.items()
    ]
    rows.append((PAPER_ROW, None, PAPER_LOW_Z, PAPER_ALL_Z, 100 * PAPER_OUTLIERS))
    notes = [f"Truth: column {file.truth}."]
    if file.left_out:
        notes.append(f"{file.left_out:,} rows without a finite true redshift are left out.")
    notes += [
        f"{name}: {missing:,} rows have no value and are not counted."
        for name, z_N in file.predictions.items()
        if (missing := int(np.isnan(z_N).sum()))
    ]
    columns = (
        Column("mode", "redshift from"),
        GALAXIES,
        Column("low_z_sigma_nmad", "sigma_NMAD z<0.4"),
        Column("all_z_sigma_nmad", "sigma_NMAD all z"),
        Column("all_z_outliers_percent", "outliers all z [%]"),
    )
    return Table("paper", "Scores as in the paper", columns, tuple(rows), " ".join([*notes, PAPER_NOTE]))


def _main_table(scored: PointScores, selected: str) -> Table:
    """One row per score, one column per mode."""
    of_mode = [scores[selected] for scores in scored.table.values()]
    rows: list[tuple[Cell, ...]] = [("galaxies", *(scores["outlier_rate"].n for scores in of_mode))]
    for metric in METRICS:
        unit, scale = (" [%]", 100) if metric in RATES else ("", 1)
        rows.append((HEADINGS[metric] + unit, *(measured(scores[metric], scale) for scores in of_mode)))
    note = f"The {BASELINE} is predicted for every galaxy with a redshift." if BASELINE in scored.table else ""
    columns = (Column("score"), *(Column(slug(mode), _name(mode)) for mode in scored.table))
    return Table(TABLES[selected], selected, columns, tuple(rows), note)


def _family_table(family: FamilyScores, mode: str) -> Table:
    """One row per stratum, one column per score."""
    metrics = [metric for metric in METRICS if metric != "not_finite"]
    score_columns = (
        Column(f"{metric}_percent", f"{HEADINGS[metric]} [%]") if metric in RATES else Column(metric, HEADINGS[metric])
        for metric in metrics
    )
    rows = tuple(_stratum_row(stratum, metrics) for stratum in family.of_mode[mode])
    note = ""
    if any(stratum.scores is None for stratum in family.of_mode[mode]):
        note = f"Too few: below {MIN_GALAXIES} galaxies."
    return Table(
        f"{family.name}_{slug(mode)}",
        f"{_name(mode)}, by {family.title}",
        (Column(family.name, family.title), GALAXIES, *score_columns),
        rows,
        note,
    )


def _stratum_row(stratum: StratumScores, metrics: list[str]) -> tuple[Cell, ...]:
    if stratum.scores is None:
        return (stratum.label, stratum.n, TOO_FEW, *[None] * (len(metrics) - 1))
    return (stratum.label, stratum.n, *(measured(stratum.scores[m], 100 if m in RATES else 1) for m in metrics))


def _drawings(
    scored: PointScores, redshift_N: np.ndarray, predictions: Mapping[str, np.ndarray]
) -> tuple[Drawing, ...]:
    modes = modes_of(scored)
    titles = {mode: _name(mode) for mode in modes}
    known_N = selection(redshift_N, ALL_Z)
    drawings = [
        Drawing("redshift_modes", MODES_CAPTION, modes_figure(redshift_N, predictions, scored.table, titles)),
        Drawing("redshift_trends", TREND_CAPTION, trend_figure(scored.families, titles)),
    ]
    for mode in modes:
        figure = redshift_figure(redshift_N[known_N], predictions[mode][known_N], titles[mode], scored.table[mode])
        drawings.append(
            Drawing(
                f"redshift_{slug(mode)}",
                f"{titles[mode]}: predicted against spectroscopic redshift, "
                "and dz below; left at all redshifts, right at z < 0.4.",
                figure,
            )
        )
    return tuple(drawings)


def _name(mode: str) -> str:
    return ROW_NAMES.get(mode, mode)
