"""The end of a study: the winner, its test scores, best.yaml and the report."""

from __future__ import annotations

import json
import math
import shlex
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from mmae.core.command_line import command
from mmae.core.errors import InputError
from mmae.core.provenance import provenance_line
from mmae.core.settings import to_yaml
from mmae.metrics.bootstrap import Score
from mmae.metrics.redshift import scatter_difference
from mmae.report.contents import Section
from mmae.report.save import log_page, save_report
from mmae.report.score_table import ROW_NAMES, scores_text, with_error
from mmae.report.terminal import print_section
from mmae.study.config import OPTIONS
from mmae.study.objective import HIDDEN, SCATTER
from mmae.study.record import read_validation
from mmae.study.report import best_section, study_sections, winner_rows, winner_section
from mmae.study.results import TrialRecord, complete, read_records
from mmae.study.space import Parameters, run_of
from mmae.study.storage import StudyStore
from mmae.study.trial import CHECKPOINT, StudyJob
from mmae.survey.store import Survey
from mmae.tracking.runs import Tracker
from mmae.training.run import score_checkpoint

BEST, TEST, REPORT = "best.yaml", "test.json", "report"
WEIGHTS = "best"  # folder of the winner's checkpoint


@dataclass(frozen=True)
class StudyResult:
    """A finished study.

    Attributes:
        records: all trials.
        winner: the full trial with the lowest value of the criterion.
        best: its configuration, for `ray_jobs/pretrain.py --config` at full length.
    """

    folder: Path
    tracker: Tracker
    records: list[TrialRecord]
    winner: TrialRecord
    best: Path


def conclude(
    job: StudyJob, store: StudyStore, survey: Survey, base: Parameters | None, console: Console
) -> StudyResult:
    """Score the winner on the test split, once, and report the study.

    Raises:
        InputError: there is no winner.
    """
    records = read_records(store.trials)
    full = complete(records, job.config.criterion)
    winner = full[0] if full else None
    test = None
    if winner is not None:
        best = job.folder / BEST
        best.write_text(to_yaml(replace(run_of(winner.parameters, job.config.run), name="")))
        test = _score_winner(job, survey, winner)
    behind = _differences_to_best(job, full)
    page = _report(job, records, study_sections(job.config, records, base, behind, test), survey)
    print_section(best_section(job.config, records, base, behind), console)
    if winner is None:
        reasons = "; ".join(f"trial {r.number}: {r.reason}" for r in records if r.reason)
        raise InputError(f"no trial reached the full budget ({reasons}). See {page}.")
    print_section(test, console)
    console.print(
        f"\nreport  {page}\nMLflow  {job.parent.how_to_look}\n"
        f"next    {command('pretrain')} --config {shlex.quote(str(best))} --name best",
        highlight=False,
        soft_wrap=True,
    )
    return StudyResult(job.folder, job.parent, records, winner, best)


def _score_winner(job: StudyJob, survey: Survey, winner: TrialRecord) -> Section:
    """The winner's test scores; stored ones of the same trial are reused."""
    stored = job.folder / TEST
    values = json.loads(stored.read_text()) if stored.exists() else {}
    if values.get("trial") != winner.number:
        checkpoint = job.folder / WEIGHTS
        shutil.rmtree(checkpoint, ignore_errors=True)
        shutil.copytree(job.trial_folder(winner.number) / CHECKPOINT, checkpoint)
        scores = score_checkpoint(
            job.config.run, survey, checkpoint, job.parent, curves=Tracker(job.parent.uri, winner.run_id)
        )
        values = {"trial": winner.number, "text": scores_text(scores.table), "rows": winner_rows(scores.table)}
        stored.write_text(json.dumps(values, indent=1) + "\n")
    return winner_section(winner, values["rows"], job.config.criterion)


def _differences_to_best(job: StudyJob, full: list[TrialRecord]) -> dict[int, Score]:
    """The criterion of each other full trial minus that of the best, on the same validation galaxies, by number.

    Only the difference of scatters has an error.
    """
    criterion = job.config.criterion
    if criterion is not SCATTER:
        values = {r.number: r.score(criterion).value for r in full}
        return {r.number: Score(values[r.number] - values[full[0].number], math.nan, math.nan, n=0) for r in full[1:]}
    tables = {r.number: read_validation(job.trial_folder(r.number)) for r in full}
    run = job.config.run
    z_spec_N, best_N = tables[full[0].number] if full else ((), ())
    return {
        r.number: scatter_difference(
            z_spec_N, tables[r.number][1], best_N, seed=run.seed, resamples=run.score.bootstrap
        )
        for r in full[1:]
    }


def _report(job: StudyJob, records: list[TrialRecord], sections: list[Section], survey: Survey) -> Path:
    """Write the report and log it, the options and the winner to the study's MLflow run."""
    config, tracker = job.config, job.parent
    facts = {
        "survey": f"{survey.path}, content hash {survey.content_hash}",
        "budget of a full trial": f"{config.galaxies_seen:,} galaxies"
        + ("" if config.budget == "galaxies" else " of the base run; equal FLOPs for all trials"),
        "objective": config.objective,
        "redshift from": ROW_NAMES.get(job.mode, job.mode),
        "scheduler": config.scheduler,
        "MLflow": f"{tracker.shown}, run {tracker.run_id}",
        "provenance": provenance_line(seed=config.run.seed, data=survey.content_hash),
    }
    page = save_report(job.folder / REPORT, f"Study {config.full_name}", facts, sections, "mmae-study-1")
    log_page(tracker, page)
    tracker.metrics(
        {f"trials/{state}": sum(r.state == state for r in records) for state in ("complete", "stopped", "failed")}
    )
    tracker.metrics(
        {
            "trials/budgets_spent": sum(r.progress for r in records),
            "trials/seconds": sum(r.costs.get("seconds", 0.0) for r in records),
        }
    )
    tracker.file(job.folder / OPTIONS)
    criterion = config.criterion
    full = complete(records, criterion)
    if full:
        best = full[0]
        tracker.file(job.folder / BEST)
        tracker.metrics(
            {
                "best/sigma_nmad": best.scatter.value,
                "best/sigma_nmad_low": best.scatter.low,
                "best/sigma_nmad_high": best.scatter.high,
                "best/trial": best.number,
            }
        )
        if math.isfinite(best.cost(HIDDEN.key)):
            tracker.metrics({f"best/{HIDDEN.key}": best.cost(HIDDEN.key)})
        mode = ROW_NAMES.get(job.mode, job.mode)
        quality = (
            f"σ_NMAD ({mode}) {with_error(best.scatter)}"
            if criterion is SCATTER
            else f"{criterion.name} {best.score(criterion).value:{criterion.format}}"
        )
        scores = json.loads((job.folder / TEST).read_text())["text"]
        tracker.describe(
            f"Best of {len(records)} trials: number {best.number}, validation {quality}. On the test split:\n"
            f"```\n{scores}```"
        )
    return page
