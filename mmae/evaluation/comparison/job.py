"""Compare the stored evaluations of several runs: page and MLflow. No model is read."""

from __future__ import annotations

import contextlib
from pathlib import Path

from mlflow.exceptions import MlflowException
from rich.console import Console

from mmae.core.files import folder_lock
from mmae.core.interrupts import end_status
from mmae.core.provenance import provenance_line, provenance_tags
from mmae.evaluation.comparison.sections import compared_findings, compared_sections
from mmae.evaluation.comparison.stored import stored_evaluations
from mmae.evaluation.config import EvaluateConfig
from mmae.report.contents import Section
from mmae.report.save import log_page, save_report
from mmae.tracking.runs import Tracker, open_named_run, tracking_uri

COMPARISONS, FOLDER = "comparisons", "comparison"
EXPERIMENT = "comparisons"
BUSY = "another process is writing this comparison. Wait until it ends, or use another --name."


def compare(config: EvaluateConfig, console: Console) -> tuple[Path, list[Section], Tracker]:
    """The page, its sections, and the MLflow run of the comparison.

    Raises:
        InputError: a run is not found or has no evaluation on the survey and split.
    """
    evaluations = stored_evaluations(config)
    record = evaluations[0].record
    name = config.name or "-".join(evaluation.name for evaluation in evaluations)
    folder = config.home_path / COMPARISONS / name / record.folder_name
    sections = compared_sections(evaluations, seed=config.seed, resamples=config.bootstrap)
    summary = compared_findings(evaluations)
    facts = {
        "survey": f"{record.survey}, content hash {record.content_hash}, split {record.split}",
        **{evaluation.name: str(evaluation.folder) for evaluation in evaluations},
        "provenance": provenance_line(seed=config.seed, data=record.content_hash),
    }
    named = ", ".join(evaluation.name for evaluation in evaluations)
    title = f"{named} on survey {Path(record.survey).name}, split {record.split}"
    with folder_lock(folder, BUSY):
        page = save_report(folder / FOLDER, title, facts, sections, "mmae-comparison-1", summary)
        tracker, _ = open_named_run(tracking_uri(config.home_path), EXPERIMENT, name, folder, {"survey": record.survey})
        tracker.tags(provenance_tags(seed=config.seed, data=record.content_hash))
        try:
            log_page(tracker, page)
        except BaseException as error:
            with contextlib.suppress(MlflowException):
                tracker.finish(end_status(error))
            raise
        tracker.finish()
    for finding in summary:
        console.print(f"{finding.title}: {' '.join(v.text for v in finding.verdicts)}", highlight=False, markup=False)
    console.print(f"page    {page}\nMLflow  {tracker.how_to_look}", highlight=False, soft_wrap=True)
    return page, sections, tracker
