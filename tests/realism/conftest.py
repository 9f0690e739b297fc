"""Fixtures of the realism tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmae.realism.rows import Objects, read_objects
from mmae.survey.store import Survey
from tests.realism.surveys import make_survey, write_reference


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20261123)


@pytest.fixture(scope="package")
def survey(tmp_path_factory) -> Survey:
    """300 synthetic objects with a truth table; read-only."""
    return make_survey(tmp_path_factory.mktemp("synthetic") / "survey")


@pytest.fixture(scope="package")
def objects(survey) -> Objects:
    return read_objects(survey)


@pytest.fixture(scope="package")
def reference(tmp_path_factory) -> Path:
    """Reference files in the layout of shared/data/galaxies; read-only."""
    return write_reference(tmp_path_factory.mktemp("reference") / "galaxies")
