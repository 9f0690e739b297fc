"""Real catalogues for tests; see ../shared/data/README.md."""

from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "gamma_radio"


@pytest.fixture(scope="session")
def gamma_radio() -> Path:
    """Folder of real catalogues; the test is skipped if it is missing."""
    if not DATA.is_dir():
        pytest.skip(f"no real catalogues in {DATA}")
    return DATA
