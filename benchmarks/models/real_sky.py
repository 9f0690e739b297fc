"""A trained model on data that it was not trained for: one table, each line with its target.

    python -m benchmarks.models.real_sky --run NAME --out DIR [--data ../shared/data/galaxies] [--galaxies 300]

Real spectra (BOSS, DESI) from the folder --data, chosen rows of the simulation, images and spectra of the run's own
test split with something missing or wrong, and the hold-out simulation. Without Ray. Samples are built once into
DIR/samples (three minutes on one core) and kept. Writes real_sky.md, report.json and report.html (with the figures)
into DIR. The warning flags are those of the run; for a run without flags they are fitted first. docs/real_sky.md says
what the lines mean.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.models import real_sky_samples as samples
from benchmarks.models import real_sky_scores as scores
from benchmarks.models.real_sky_figures import line_figure, wrong_figure
from benchmarks.models.real_sky_scores import CPU, Seen, look
from benchmarks.models.score import batches
from benchmarks.models.survey import load, rows
from mmae.config import RunConfig
from mmae.core.errors import InputError
from mmae.core.folders import home_folder
from mmae.core.settings import from_yaml
from mmae.core.terminal import terminal
from mmae.inference.checkpoint import CONFIG, load_model
from mmae.inference.find_run import find_run
from mmae.inference.fit_flags import fit_flags, save_flags
from mmae.inference.flags import FILE, MEANING, FlagLimits, load_flags
from mmae.inference.readings import read_modes
from mmae.ingest.embedded import embedded_folder
from mmae.metrics.bootstrap import Score
from mmae.model.batch import Batch
from mmae.model.build import Model
from mmae.model.masking import INPUT_MODES
from mmae.report.contents import Cell, Column, Drawing, Measured, Section, Table, Verdict, cell_text, tally
from mmae.report.save import save_report
from mmae.survey.store import Survey, open_survey
from mmae.tracking.runs import tracking_uri

DATA = Path(__file__).parents[3] / "shared/data/galaxies"
GALAXIES, TRAINING = 300, 4000
LEAST = 10  # galaxies for a verdict
QUASARS = (0.4, 1.1)  # redshifts at which Mg II is the only strong line in the range
SHIFTS = (20, 100)  # samples of 0.8 A
FAINTER = (1.0, 2.0)  # mag
COLUMNS_MISSING = 0.25
FIELD_LIMIT = 22.5  # i magnitude: fainter than the training set
IMAGE, SPECTRUM = "image", "spectrum"


@dataclass(frozen=True)
class Target:
    """Limits of a figure, inclusive."""

    low: float
    high: float
    text: str

    def judge(self, score: Score) -> Verdict:
        if score.n < LEAST:
            return Verdict(f"not judged: {score.n} galaxies")
        met = self.low <= score.value <= self.high
        return Verdict("met" if met else "missed", met)


ALL_RIGHT = Target(1, 1, "all")
NONE = Target(0, 0, "none")
CALIBRATED = Target(0.63, 0.73, "63 to 73%")


def at_least(share: float) -> Target:
    return Target(share, 1, f"at least {share:.0%}")


def at_most(limit: float, text: str = "") -> Target:
    return Target(0, limit, text or f"at most {limit:.0%}")


@dataclass(frozen=True)
class Line:
    """One figure of one sample; not judged without a target. `unit` is % or empty."""

    sample: str
    mode: str
    figure: str
    score: Score
    target: Target | None = None
    unit: str = "%"

    def cells(self) -> tuple[Cell, ...]:
        scale = 100 if self.unit == "%" else 1
        figure = f"{self.figure} [{self.unit}]" if self.unit else self.figure
        value = Measured(scale * self.score.value, scale * self.score.error)
        target = ("", Verdict("")) if self.target is None else (self.target.text, self.target.judge(self.score))
        return self.sample, self.mode, figure, self.score.n, value, *target


@dataclass(frozen=True)
class Context:
    """What every group of lines needs."""

    model: Model
    limits: FlagLimits
    test: Batch  # galaxies of the run's own test split
    noise_C: tuple[float, ...]
    folder: Path  # of the samples
    data: Path
    galaxies: int
    workers: int | None
    seen: dict[str, Seen]  # by sample and mode, for the figures
    batch: dict[str, Batch]

    def look(self, name: str, galaxies: Batch, mode: str) -> Seen:
        found = look(self.model, galaxies, mode, self.limits)
        self.seen[f"{name}, {mode}"], self.batch[f"{name}, {mode}"] = found, galaxies
        return found

    def simulated(self, name: str, wanted: samples.Wanted, **options: float) -> Batch:
        folder = self.folder / f"{name}-{self.galaxies}"
        return load(samples.simulated(folder, self.galaxies, wanted, self.workers, **options), "test")


def real_spectra(context: Context) -> Iterator[Line]:
    """Galaxies and quasars of BOSS and DESI."""
    every = load(samples.real_spectra(context.data, context.folder / "real", context.workers), "test")
    class_of = samples.classes(context.data)
    for name, kind, target in (("real galaxies", "GALAXY", ALL_RIGHT), ("real quasars", "QSO", at_least(0.92))):
        chosen = rows(every, np.flatnonzero([class_of[object_id] == kind for object_id in every.object_id]))
        seen = context.look(name, chosen, SPECTRUM)
        yield Line(name, SPECTRUM, f"right within {scores.RIGHT:g}", scores.right(seen), target)
        yield Line(name, SPECTRUM, "wrong by more than 0.15, without a flag", scores.silent_outliers(seen), NONE)
        yield Line(name, SPECTRUM, "flagged", scores.flagged(seen))


def simulated_quasars(context: Context) -> Iterator[Line]:
    """Quasars at redshifts with one strong line."""
    low, high = QUASARS
    name = f"simulated quasars, {low:g} < z < {high:g}"
    wanted = partial(samples.is_quasar, low=low, high=high)
    seen = context.look(name, context.simulated("quasars", wanted), SPECTRUM)
    yield Line(name, SPECTRUM, "wrong by more than 0.15", scores.outliers(seen), at_most(0.03))
    yield Line(name, SPECTRUM, "wrong by more than 0.15, without a flag", scores.silent_outliers(seen), NONE)
    yield Line(name, SPECTRUM, "flagged", scores.flagged(seen))


def no_source(context: Context) -> Iterator[Line]:
    """Spectra without a galaxy, and images without anything."""
    sky = context.simulated("sky", partial(samples.is_kind, kind="sky"), contaminants=1.0)
    stars = context.simulated("star", partial(samples.is_kind, kind="star"), contaminants=1.0)
    residuals = load(samples.residual_spectra(context.data, context.folder / "residuals", context.workers), "test")
    noise, empty = samples.noise_only(context.test, 0), samples.empty_images(context.test, context.noise_C, 0)
    for name, galaxies, mode, target in (
        ("simulated sky fibres", sky, SPECTRUM, at_least(0.99)),
        ("BOSS spectra minus their pipeline model", residuals, SPECTRUM, at_least(0.99)),
        ("spectra of noise", noise, SPECTRUM, at_least(0.99)),
        ("images of noise", empty, IMAGE, at_least(0.99)),
        ("simulated stars", stars, SPECTRUM, None),
        ("simulated stars", stars, IMAGE, None),
    ):
        seen = context.look(name, galaxies, mode)
        yield Line(name, mode, "flagged", scores.flagged(seen), target)
        if mode == SPECTRUM:
            yield Line(name, mode, f"68% interval narrower than {scores.NARROW:g}", scores.narrow(seen))
            yield Line(name, mode, "the same, without a flag", scores.certain(seen))


def own_test(context: Context) -> Iterator[Line]:
    """The run's own test split, with nothing missing."""
    for mode in (IMAGE, SPECTRUM):
        seen = context.look("own test split", context.test, mode)
        yield Line("own test split", mode, "scatter", scores.scatter(seen), unit="")
        yield Line("own test split", mode, "wrong by more than 0.15", scores.outliers(seen))
        yield from calibration("own test split", mode, seen)


def calibration(name: str, mode: str, seen: Seen) -> Iterator[Line]:
    """Flags and coverage of a sample on which p(z) of unflagged galaxies should be calibrated."""
    yield Line(name, mode, "flagged", scores.flagged(seen))
    yield Line(name, mode, "coverage of 68%, all", scores.coverage(seen))
    yield Line(name, mode, "coverage of 68%, without a flag", scores.unflagged_coverage(seen), CALIBRATED)


def parts_missing(context: Context) -> Iterator[Line]:
    """Each band not observed, and a quarter of the columns of one band not observed."""
    before = context.seen[f"own test split, {IMAGE}"]
    bands = context.model.spec.bands
    middle = len(bands) // 2
    changed = {f"{band} not observed": samples.without_band(context.test, c) for c, band in enumerate(bands)}
    name = f"{COLUMNS_MISSING:.0%} of the columns of {bands[middle]} not observed"
    changed[name] = samples.without_columns(context.test, middle, COLUMNS_MISSING, 0)
    for name, galaxies in changed.items():
        seen = context.look(name, galaxies, IMAGE)
        ratio = scores.scatter_ratio(seen, before)
        yield Line(name, IMAGE, "scatter / scatter of whole images", ratio, at_most(1.5, "at most 1.5"), "")
        yield Line(name, IMAGE, "coverage of 68%", scores.coverage(seen), CALIBRATED)


def faint_and_shifted(context: Context) -> Iterator[Line]:
    """Fainter images, wrong wavelengths, and galaxies fainter than the training set."""
    for magnitudes in FAINTER:
        name = f"images fainter by {magnitudes:g} mag"
        galaxies = samples.fainter(context.test, magnitudes, context.noise_C, 0)
        yield from calibration(name, IMAGE, context.look(name, galaxies, IMAGE))
    for shift in SHIFTS:
        name = f"wavelengths wrong by {0.8 * shift:g} A"
        seen = context.look(name, samples.shifted(context.test, shift), SPECTRUM)
        yield from calibration(name, SPECTRUM, seen)
    name = f"stamps with photometric redshifts: none at hand; simulated galaxies of i > {FIELD_LIMIT:g} instead"
    wanted = partial(samples.is_faint_field, limit=FIELD_LIMIT)
    seen = context.look(name, context.simulated("field", wanted, variety=1.0), IMAGE)
    yield Line(name, IMAGE, "wrong by more than 0.15", scores.outliers(seen))
    yield from calibration(name, IMAGE, seen)


def independent(context: Context) -> Iterator[Line]:
    """The hold-out simulation."""
    name = "hold-out simulation"
    folder = context.folder / f"holdout-{context.galaxies}"
    galaxies = load(samples.holdout(folder, context.galaxies, context.workers), "test")
    seen = context.look(name, galaxies, IMAGE)
    yield Line(name, IMAGE, "scatter", scores.scatter(seen), unit="")
    yield Line(name, IMAGE, "bias", scores.bias(seen), unit="")
    yield Line(name, IMAGE, "coverage of 68%", scores.coverage(seen), Target(0.60, 0.75, "60 to 75%"))
    yield Line(name, IMAGE, "coverage of 68%, without a flag", scores.unflagged_coverage(seen), CALIBRATED)
    yield Line(name, IMAGE, "flagged", scores.flagged(seen))
    seen = context.look(name, galaxies, SPECTRUM)
    yield Line(name, SPECTRUM, f"right within {scores.RIGHT:g}", scores.right(seen))
    yield Line(name, SPECTRUM, "flagged", scores.flagged(seen))


GROUPS: tuple[tuple[str, str, Callable[[Context], Iterator[Line]]], ...] = (
    ("own", "The run's own test split", own_test),
    ("real", "Real galaxies and quasars", real_spectra),
    ("quasars", "Simulated quasars", simulated_quasars),
    ("no_source", "Nothing there, and stars", no_source),
    ("holdout", "An independent simulation", independent),
    ("missing", "Parts of the image missing", parts_missing),
    ("changed", "Faint images and wrong wavelengths", faint_and_shifted),
)


def training_survey(checkpoint: Path, home: Path) -> Survey:
    """The survey that the run was trained on."""
    config = from_yaml(checkpoint / CONFIG, RunConfig)
    return open_survey(config.survey or embedded_folder(home, config.simulated_galaxies))


def flag_limits(checkpoint: Path, model: Model, survey: Survey, out: Path, say: Callable[[str], None]) -> FlagLimits:
    """The limits of the run's checkpoint, or of an earlier call; else fitted, and saved in the output."""
    for folder in (checkpoint, out):
        limits = load_flags(folder)
        if limits is not None:
            return limits
    say(f"{checkpoint} has no {FILE}: fitting flags on the training and validation split")
    readings = {}
    for split in ("train", "val"):
        galaxies = load(survey, split)
        galaxies = rows(galaxies, np.arange(min(TRAINING, len(galaxies))))
        read, _ = read_modes(model, batches(galaxies, CPU), CPU, survey.spec.wavelength_L())
        readings[split] = read, np.where(galaxies.redshift_known_B, galaxies.redshift_B, np.nan)
    limits = fit_flags(readings["train"][0], readings["val"][0], readings["train"][1])
    assert limits is not None  # the model has p(z)
    save_flags(limits, out)
    return limits


COLUMNS = (
    Column("sample"),
    Column("input"),
    Column("figure"),
    Column("n"),
    Column("value"),
    Column("target"),
    Column("verdict"),
)


def markdown(sections: list[Section]) -> str:
    """All lines as one Markdown table."""
    head = [f"| {' | '.join(column.heading for column in COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    body = [
        f"| {' | '.join(cell_text(cell) for cell in row)} |"
        for section in sections
        for table in section.tables
        for row in table.rows
    ]
    return "\n".join([*head, *body]) + "\n"


def make_sections(context: Context, say: Callable[[str], None]) -> list[Section]:
    """A section per group of lines, with its figures."""
    sections = []
    for name, title, group in GROUPS:
        before = set(context.seen)
        say(title)
        lines = list(group(context))
        for line in lines:
            say(f"  {' | '.join(cell_text(cell) for cell in line.cells())}")
        new = {key: seen for key, seen in context.seen.items() if key not in before}
        text = " ".join(f"{key}: {scores.kinds(seen, MEANING) or 'no flags'}." for key, seen in new.items())
        drawings = [Drawing(f"{name}_redshifts", "Predicted against true redshift; flagged: grey.", line_figure(new))]
        for key in ("real galaxies, spectrum", "real quasars, spectrum"):
            if key in new and new[key].wrong_N.any():
                figure = wrong_figure(new[key], context.batch[key], context.model.spec)
                drawings.append(
                    Drawing(f"{name}_wrong_{key.split()[1].strip(',')}", "Spectra with wrong redshifts.", figure)
                )
        sections.append(
            Section(
                name,
                title,
                text,
                (Table("lines", title, COLUMNS, tuple(line.cells() for line in lines)),),
                tuple(drawings),
            )
        )
    return sections


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="name of a run, or a checkpoint folder")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the real spectra")
    parser.add_argument("--home", default="", help="folder of runs; default: $MMAE_HOME, else ~/mmae")
    parser.add_argument("--galaxies", type=int, default=GALAXIES, help="galaxies per simulated line")
    parser.add_argument("--workers", type=int, default=None, help="processes that build samples; default: all CPUs")
    options = parser.parse_args()
    console = terminal()

    def say(text: str) -> None:
        console.print(text, soft_wrap=True)

    try:
        page = real_sky(options, say)
    except InputError as error:
        raise SystemExit(f"error: {error}") from error
    say(f"page {page}\ntable {page.parent / 'real_sky.md'}")


def real_sky(options: argparse.Namespace, say: Callable[[str], None]) -> Path:
    """Make all lines, and write the table, the numbers and the page."""
    home = home_folder(options.home)
    out = options.out.expanduser().resolve()
    out.mkdir(parents=True, exist_ok=True)
    found = find_run(options.run, home, tracking_uri(home))
    model, _ = load_model(found.checkpoint)
    if not set(INPUT_MODES["both"]) <= model.n_tokens.keys() or getattr(model.config, "redshift", None) is None:
        raise InputError(f"{found.checkpoint}: these lines need a model of images and spectra with p(z).")
    survey = training_survey(found.checkpoint, home)
    limits = flag_limits(found.checkpoint, model, survey, out, say)
    test = load(survey, "test")
    context = Context(
        model,
        limits,
        rows(test, np.arange(min(options.galaxies, len(test)))),
        survey.spec.band_noise,
        out / "samples",
        options.data,
        options.galaxies,
        options.workers,
        {},
        {},
    )
    sections = make_sections(context, say)
    (out / "real_sky.md").write_text(markdown(sections))
    judged, met = tally(sections)
    say(f"{met} of {judged} targets are met.")
    facts = {"model": str(found.checkpoint), "data": str(options.data), "galaxies": f"{options.galaxies} a sample"}
    return save_report(out, f"{found.name} on a real sky", facts, sections, "mmae-real-sky-1")


if __name__ == "__main__":
    main()
