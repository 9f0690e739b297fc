"""Job of ray_jobs/build_survey.py: build a survey and optionally compare it with real data."""

from __future__ import annotations

import sys

from rich.console import Console

from mmae.core.files import folder_lock
from mmae.core.terminal import terminal
from mmae.ingest.config import BuildConfig
from mmae.ingest.job import DAMAGED_STATUS, build_job, damaged_files
from mmae.realism.report import FOLDER, write_report


def build_command(config: BuildConfig, console: Console | None = None) -> None:
    """Build a survey; with `config.report` also write the realism report.

    Raises:
        InputError: the options or the input files are wrong.
        SystemExit: with status 3, if input files could not be read and are missing in the survey.
    """
    console = console or terminal()
    survey = build_job(config, console)
    if config.report:
        with folder_lock(survey.path / FOLDER, "another process is writing this report. Wait until it ends."):
            write_report(survey, config.reference, console)
    if damaged_files(survey):
        sys.exit(DAMAGED_STATUS)
