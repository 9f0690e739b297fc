"""A bundle for all tests of prediction jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.catalogue.small import write_small_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    return write_small_bundle(tmp_path_factory.mktemp("bundle") / "b")
