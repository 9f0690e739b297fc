"""The embedded survey, simulated on first use so that a first run needs no data."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from mmae.simulation.config import VERSION, SimulationConfig
from mmae.survey.schema import SurveySpec
from mmae.survey.store import MANIFEST, Survey, open_survey


def embedded_folder(home: Path, galaxies: int) -> Path:
    """The folder of the embedded survey of this size."""
    return home / "surveys" / f"simulated-v{VERSION}-{galaxies}"


def open_or_simulate(survey: str, home: Path, galaxies: int, console: Console) -> Survey:
    """Open the survey of a run, or the embedded survey, which is simulated if it does not exist yet.

    Args:
        survey: folder of the survey; empty: the embedded survey.
        galaxies: size of the embedded survey.

    Raises:
        InputError: the folder holds no valid survey.
    """
    if survey:
        return open_survey(survey)
    folder = embedded_folder(home, galaxies)
    if not (folder / MANIFEST).exists():
        console.print(f"simulating {galaxies} galaxies into {folder}", highlight=False, soft_wrap=True)
        _simulate(galaxies, folder)
    return open_survey(folder)


def _simulate(galaxies: int, folder: Path) -> None:
    # Imported here: a run on an existing survey does not need them, and they take seconds to import.
    from mmae.ingest.build import build_survey
    from mmae.ingest.contact_sheet import save_contact_sheet
    from mmae.simulation.source import simulation_source

    save_contact_sheet(build_survey([simulation_source(SimulationConfig(galaxies=galaxies), SurveySpec())], folder))


def survey_line(survey: Survey) -> str:
    """Folder and rows per split, for the terminal."""
    sizes = ", ".join(f"{n} {split}" for split, n in survey.rows_per_split().items())
    return f"survey  {survey.path}  ({sizes})"
