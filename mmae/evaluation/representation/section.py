"""Two sections of the evaluation: what frozen embeddings hold, and how far that carries."""

from __future__ import annotations

from collections.abc import Mapping

from mmae.evaluation.representation.figures import map_figure, probe_figure, shift_figure
from mmae.evaluation.representation.map import principal_plane
from mmae.evaluation.representation.probes import NEIGHBOURS
from mmae.evaluation.representation.scores import BIAS, OUTLIERS, SIGMA
from mmae.evaluation.representation.shift import NEAR_TO_FAR, Shift, Shifted, run_shift, shifts_of
from mmae.evaluation.representation.tables import score_cells, score_columns, shown
from mmae.evaluation.representation.targets import MAGNITUDES, Features, Sample, Targets, common_sample
from mmae.evaluation.representation.tasks import REDSHIFT, TYPE, Probed, Task, run_task, tasks_of
from mmae.report.contents import Drawing, Section, Table

IMAGE = "image"  # the mode that is mapped
RESAMPLES = 300
REPRESENTATION_TITLE, SHIFT_TITLE = "What frozen embeddings hold", "Selection shift"
REPRESENTATION_TEXT = (
    "Simple probes read properties of galaxies from the frozen encoder's vectors, nothing masked: the "
    f"distance-weighted mean (or vote) of the {NEIGHBOURS} nearest training galaxies, and a linear model (ridge "
    "regression of numbers, redshift as ln(1+z); logistic regression of types, balanced). Vectors are standardised "
    "with the training galaxies' mean and deviation. Training and test galaxies are those of the model's own splits "
    "that every mode has seen: the rows of a table are of the same galaxies. The encoder has learned with redshift "
    "labels, so its redshift rows are not those of a self-supervised model; no other property was ever a label. The "
    "same probes on catalogue magnitudes and colours show what the embedding adds, and the last row what knowing the "
    "training labels alone gives."
)
SHIFT_TEXT = (
    "Spectroscopic samples are bright and near; the galaxies that need a photometric redshift are not. Probes on "
    "frozen embeddings are trained on the bright half, or on z < 0.4, and tested on the other test galaxies. Each "
    "stands beside the same probe trained on as many galaxies drawn at random from all and tested on the same "
    "galaxies: only the selection differs. Only the probe is shifted: the frozen encoder has been trained on the whole "
    "training split, faint and distant galaxies and their redshifts included. A model that had never seen such "
    "galaxies would probably lose more."
)
FAR_NOTE = (
    "Nearest neighbours cannot answer with a redshift beyond those they were trained on; a linear probe extrapolates."
)
SHIFT_METRICS = (SIGMA, BIAS, OUTLIERS)


def representation_section(
    embeddings: Mapping[str, Features], train: Targets, test: Targets, *, seed: int, resamples: int = RESAMPLES
) -> Section:
    """Probes for redshift, type, magnitude and star formation, and a map of the image embeddings.

    Args:
        embeddings: by mode ("image", "spectrum", "both"); a row of NaN where a galaxy lacks what it needs.
        train, test: of `targets_of`, in the order of the embeddings.
        seed, resamples: of the bootstrap.

    Raises:
        InputError: embeddings and targets do not fit together.
    """
    sample = common_sample(embeddings, train, test)
    if list(sample.features) == [MAGNITUDES]:
        return _nothing("representation", REPRESENTATION_TITLE, REPRESENTATION_TEXT, sample)
    tasks, reasons = tasks_of(sample)
    results = [(task, run_task(task, sample, seed=seed, resamples=resamples)) for task in tasks]
    drawings = []
    if results:
        drawings.append(
            Drawing(
                "representation_probes",
                "What probes read from each description of the galaxies, with 68% intervals; "
                "dashed: the baseline without any description. Magnitudes are not read from magnitudes.",
                probe_figure(results),
            )
        )
    if IMAGE in sample.features:
        plane = principal_plane(sample.features[IMAGE])
        drawings.append(
            Drawing(
                "representation_map",
                "Test galaxies on the first two principal components of the image-only embeddings "
                "of the training galaxies (PCA of standardised vectors).",
                map_figure(plane, sample.test.redshift_N, sample.test.type_N, sample.test.type_name, seed=seed),
            )
        )
    else:
        reasons.append("Map: there are no image-only embeddings; take a survey with images.")
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
    """Redshift probes trained on the bright or near galaxies and tested on the others. Arguments as above."""
    sample = common_sample(embeddings, train, test)
    if list(sample.features) == [MAGNITUDES]:
        return _nothing("shift", SHIFT_TITLE, SHIFT_TEXT, sample)
    shifts, reasons = shifts_of(sample)
    results = [(shift, run_shift(shift, sample, seed=seed, resamples=resamples)) for shift in shifts]
    drawings = []
    if results:
        drawings.append(
            Drawing(
                "shift",
                "Redshift probes trained on selected galaxies (filled) and on as many drawn "
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


def _probe_table(task: Task, found: tuple[Probed, ...]) -> Table:
    metrics = shown(found[0].scores)
    gain = ("sigma_NMAD difference", "sigma_NMAD difference error") if task.name == REDSHIFT else ()
    rows = tuple(
        (
            p.features,
            p.probe,
            p.n_train,
            p.n_test,
            *score_cells(p.scores, metrics),
            *((p.gain.value, p.gain.error) if gain else ()),
        )
        for p in found
    )
    notes = {
        REDSHIFT: "Differences are from kNN on magnitudes, of the same galaxies, resampled alike.",
        TYPE: f"The mean over types of the share that is recognised. {task.note}",
    }
    return Table(
        task.name,
        task.title,
        ("read from", "probe", "n train", "n test", *score_columns(metrics), *gain),
        rows,
        note=notes.get(
            task.name,
            "R2 is 1 for a perfect answer and 0 for the mean of the test "
            "galaxies; NMAD is in the unit of the quantity.",
        ),
    )


def _shift_table(shift: Shift, found: tuple[Shifted, ...]) -> Table:
    rows = tuple(
        (s.features, s.probe, trained, s.n_train, s.n_test, *score_cells(scores, SHIFT_METRICS))
        for s in found
        for trained, scores in (("selected", s.selected), ("all", s.everyone), ("difference", s.difference))
    )
    note = "Differences are selected minus all, of the same galaxies, resampled alike."
    return Table(
        shift.name,
        f"Trained: {shift.trained}. Tested: {shift.tested}",
        ("read from", "probe", "trained on", "n train", "n test", *score_columns(SHIFT_METRICS)),
        rows,
        note=f"{note} {FAR_NOTE}" if shift.name == NEAR_TO_FAR else note,
    )


def _nothing(name: str, title: str, text: str, sample: Sample) -> Section:
    return Section(name, title, text, left_out=_left_out(sample, ["No embeddings are left to be probed."]))


def _left_out(sample: Sample, reasons: list[str]) -> str:
    every = [*sample.left_out, *reasons]
    return "Left out: " + " ".join(every) if every else ""
