"""Two report sections: probes on frozen embeddings, and probes under a selection shift."""

from __future__ import annotations

from collections.abc import Mapping

from mmae.evaluation.cells import measured
from mmae.evaluation.representation.figures import map_figure, probe_figure, shift_figure
from mmae.evaluation.representation.map import principal_plane
from mmae.evaluation.representation.probe_tasks import (
    REDSHIFT,
    TYPE,
    ProbeScores,
    ProbeTask,
    make_probe_tasks,
    run_probes,
)
from mmae.evaluation.representation.probes import NEIGHBOURS
from mmae.evaluation.representation.scores import BIAS, OUTLIERS, SIGMA
from mmae.evaluation.representation.shift import NEAR_TO_FAR, Shift, ShiftScores, make_shifts, run_shift
from mmae.evaluation.representation.tables import metrics_of, score_cells, score_columns
from mmae.evaluation.representation.targets import MAGNITUDES, Features, Sample, Targets, common_sample
from mmae.report.contents import Column, Drawing, Section, Table

IMAGE = "image"  # the mode of the map
RESAMPLES = 300
REPRESENTATION_TITLE, SHIFT_TITLE = "Information in frozen embeddings", "Selection shift"
REPRESENTATION_TEXT = (
    "Simple probes predict properties of galaxies from the frozen encoder's embeddings, nothing masked: the "
    f"distance-weighted mean (or vote) of the {NEIGHBOURS} nearest training galaxies, and a linear model (ridge "
    "regression of numbers, redshift as ln(1+z); logistic regression of types, balanced). Embeddings are standardised "
    "with the training galaxies' mean and standard deviation. Training and test galaxies are those of the model's own "
    "splits that have the inputs of every mode: all rows of a table are of the same galaxies. The encoder was trained "
    "with redshift labels, so the redshift rows are not those of a self-supervised model; no other property was a "
    "label. The same probes on catalogue magnitudes and colours are the reference, and the last row is a constant "
    "prediction from the training labels."
)
SHIFT_TEXT = (
    "Spectroscopic samples are bright and near; galaxies that need a photometric redshift are not. Probes on "
    "frozen embeddings are trained on the bright half, or on z < 0.4, and tested on the other test galaxies. Each is "
    "compared with the same probe trained on an equal number of galaxies drawn at random from all and tested on the "
    "same galaxies: only the selection differs. Only the probe is shifted: the frozen encoder was trained on the whole "
    "training split, including faint and distant galaxies and their redshifts. A model trained without such "
    "galaxies would probably lose more."
)
FAR_NOTE = "kNN cannot predict a redshift beyond its training redshifts; a linear probe extrapolates."
N_TRAIN, N_TEST = Column("n_train"), Column("n_test")
FEATURES, PROBE = Column("features", "input"), Column("probe")
SHIFT_METRICS = (SIGMA, BIAS, OUTLIERS)


def representation_section(
    embeddings: Mapping[str, Features], train: Targets, test: Targets, *, seed: int, resamples: int = RESAMPLES
) -> Section:
    """Probes for redshift, type, magnitude and star formation, and a map of the image embeddings.

    Args:
        embeddings: mode ("image", "spectrum", "both") -> embeddings; a row of NaN where an input is missing.
        train, test: from `targets_of`, in the order of the embeddings.
        seed: of the bootstrap.
        resamples: number of bootstrap resamples.

    Raises:
        InputError: embeddings and targets are inconsistent.
    """
    sample = common_sample(embeddings, train, test)
    if list(sample.features) == [MAGNITUDES]:
        return _empty_section("representation", REPRESENTATION_TITLE, REPRESENTATION_TEXT, sample)
    tasks, reasons = make_probe_tasks(sample)
    results = [(task, run_probes(task, sample, seed=seed, resamples=resamples)) for task in tasks]
    drawings = []
    if results:
        drawings.append(
            Drawing(
                "representation_probes",
                "Scores of the probes by input, with 68% intervals; dashed: the constant baseline. "
                "Magnitudes are not predicted from magnitudes.",
                probe_figure(results),
            )
        )
    if IMAGE in sample.features:
        plane = principal_plane(sample.features[IMAGE])
        drawings.append(
            Drawing(
                "representation_map",
                "Test galaxies on the first two principal components of the image-only embeddings "
                "of the training galaxies (PCA of standardised embeddings).",
                map_figure(plane, sample.test.redshift_N, sample.test.type_N, sample.test.type_name, seed=seed),
            )
        )
    else:
        reasons.append("Map: there are no image-only embeddings; use a survey with images.")
    return Section(
        "representation",
        REPRESENTATION_TITLE,
        REPRESENTATION_TEXT,
        tuple(_probe_table(task, found) for task, found in results),
        tuple(drawings),
        _left_out(sample, reasons),
    )


def shift_section(
    embeddings: Mapping[str, Features], train: Targets, test: Targets, *, seed: int, resamples: int = RESAMPLES
) -> Section:
    """Redshift probes trained on bright or near galaxies and tested on the others; see `representation_section`."""
    sample = common_sample(embeddings, train, test)
    if list(sample.features) == [MAGNITUDES]:
        return _empty_section("shift", SHIFT_TITLE, SHIFT_TEXT, sample)
    shifts, reasons = make_shifts(sample)
    results = [(shift, run_shift(shift, sample, seed=seed, resamples=resamples)) for shift in shifts]
    drawings = []
    if results:
        drawings.append(
            Drawing(
                "shift",
                "Redshift probes trained on selected galaxies (filled) and on an equal number drawn "
                "from all (open), tested on the same galaxies; 68% intervals.",
                shift_figure(results),
            )
        )
    return Section(
        "shift",
        SHIFT_TITLE,
        SHIFT_TEXT,
        tuple(_shift_table(shift, found) for shift, found in results),
        tuple(drawings),
        _left_out(sample, reasons),
    )


def _probe_table(task: ProbeTask, found: tuple[ProbeScores, ...]) -> Table:
    metrics = metrics_of(found[0].scores)
    gain = (Column("sigma_nmad_difference", "sigma_NMAD difference"),) if task.name == REDSHIFT else ()
    rows = tuple(
        (
            p.features,
            p.probe,
            p.n_train,
            p.n_test,
            *score_cells(p.scores, metrics),
            *((measured(p.gain),) if gain else ()),
        )
        for p in found
    )
    notes = {
        REDSHIFT: "Differences: minus kNN on magnitudes, same galaxies and same resamples.",
        TYPE: f"Balanced accuracy: the recall averaged over types. {task.note}",
    }
    return Table(
        task.name,
        task.title,
        (FEATURES, PROBE, N_TRAIN, N_TEST, *score_columns(metrics), *gain),
        rows,
        note=notes.get(
            task.name,
            "R2 is 1 for a perfect prediction and 0 for the mean of the test "
            "galaxies; NMAD is in the unit of the quantity.",
        ),
    )


def _shift_table(shift: Shift, found: tuple[ShiftScores, ...]) -> Table:
    rows = tuple(
        (s.features, s.probe, trained, s.n_train, s.n_test, *score_cells(scores, SHIFT_METRICS))
        for s in found
        for trained, scores in (("selected", s.selected), ("all", s.everyone), ("difference", s.difference))
    )
    note = "Differences: selected minus all, same galaxies and same resamples."
    return Table(
        shift.name,
        f"Trained: {shift.trained}. Tested: {shift.tested}",
        (FEATURES, PROBE, Column("trained_on"), N_TRAIN, N_TEST, *score_columns(SHIFT_METRICS)),
        rows,
        note=f"{note} {FAR_NOTE}" if shift.name == NEAR_TO_FAR else note,
    )


def _empty_section(name: str, title: str, text: str, sample: Sample) -> Section:
    return Section(name, title, text, left_out=_left_out(sample, ["There are no embeddings."]))


def _left_out(sample: Sample, reasons: list[str]) -> str:
    all_reasons = [*sample.left_out, *reasons]
    return "Left out: " + " ".join(all_reasons) if all_reasons else ""
