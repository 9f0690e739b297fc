"""A study with trials of about a second."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mmae.config import RunConfig
from mmae.loader.collate import input_spec
from mmae.study.config import Space, StudyConfig
from mmae.survey.schema import SurveySpec

SPEC = input_spec(SurveySpec())


@pytest.fixture
def tiny_study(quick_run: RunConfig) -> StudyConfig:
    """Trials of six steps of 32 galaxies with three validations; the base run is a point of the space."""
    return StudyConfig(
        name="tiny",
        trials=3,
        galaxies_seen=192,
        looks=3,
        random_trials=2,
        space=Space(
            image_mask_ratio=(0.2, 0.9), spectrum_mask_ratio=(), image_patch=(16, 32), spectrum_patch=(), depth=(1, 2)
        ),
        run=quick_run,
    )


@pytest.fixture
def study(tiny_study: StudyConfig, tmp_path: Path, small_survey: Path, monkeypatch) -> StudyConfig:
    """`tiny_study` with a survey and its own home folder."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return replace(tiny_study, run=replace(tiny_study.run, home=str(tmp_path), survey=str(small_survey)))
