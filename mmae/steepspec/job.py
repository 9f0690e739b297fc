"""The job of ray_jobs/steep_spectrum.py: read or simulate catalogues, search, write tables and report, log."""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from astropy.table import Table
from rich.console import Console

from mmae.core.command_line import command
from mmae.core.errors import InputError
from mmae.core.files import file_hash, folder_lock
from mmae.core.interrupts import end_status
from mmae.core.provenance import provenance_line, provenance_tags
from mmae.core.settings import flat, require_unchanged, to_yaml
from mmae.core.terminal import terminal
from mmae.report.contents import Section
from mmae.report.save import PAGE, log_report, save_report
from mmae.report.terminal import print_section
from mmae.steepspec.catalogue import SurveyDescription, read_catalogue, survey_description
from mmae.steepspec.config import SearchConfig
from mmae.steepspec.counts import Rejections, rejection_table
from mmae.steepspec.known import pulsars_as_known, read_known
from mmae.steepspec.optical import OpticalCatalogue
from mmae.steepspec.pulsars import read_psrcat
from mmae.steepspec.regions import read_4fgl
from mmae.steepspec.report.page import make_sections, terminal_sections
from mmae.steepspec.schema import MEMBERS, POINTS, REGIONS, SOURCES
from mmae.steepspec.search import Inputs, Search, search
from mmae.steepspec.simulation.files import write_sky
from mmae.steepspec.simulation.sky import simulate_sky
from mmae.steepspec.spectra.points import Companion
from mmae.steepspec.tables import write_table
from mmae.tracking.runs import Tracker, open_named_run, tracking_uri

EXPERIMENT = "steep-spectrum"
REPORT, CONFIG = "report", "config.yaml"
MAY_CHANGE = ("home", "ray")
"""Options that may differ when a search is repeated in its folder."""


@dataclass(frozen=True)
class SearchResult:
    """Output folder and report page, the result of the search, and the MLflow run."""

    folder: Path
    page: Path
    search: Search
    tracker: Tracker


def search_job(config: SearchConfig, console: Console | None = None) -> SearchResult:
    """Search, write tables, figures and report page, and log the run to MLflow.

    Raises:
        InputError: options are incompatible, a file cannot be used, or the folder of the run contains
            a search with other options.
    """
    console = console or terminal()
    _check(config)
    if not config.name:
        survey = Path(config.radio_survey).stem if config.radio else "simulated"
        config = replace(config, name=f"{survey}-{datetime.now():%Y%m%d-%H%M%S}")
    folder = config.home_path / "steepspec" / config.name
    with folder_lock(folder, "another process is running this search. Wait until it ends, or use another --name."):
        return _search_in(folder, config, console)


def _search_in(folder: Path, config: SearchConfig, console: Console) -> SearchResult:
    """The search in its folder, which this process has locked."""
    saved = folder / CONFIG
    finished = (folder / REPORT / PAGE).exists()  # until then the options may be corrected
    if finished:
        require_unchanged(saved, config, f"search {config.name}", MAY_CHANGE)
    with_files = config
    if config.radio is None:
        console.print(f"simulating a sky into {folder / 'sky'}", highlight=False, soft_wrap=True)
        with_files = simulated_inputs(config, folder / "sky")
    console.print(f"search  {folder}", highlight=False, soft_wrap=True)
    inputs, pulsars = read_inputs(with_files)
    tracker, _ = open_named_run(
        tracking_uri(config.home_path),
        EXPERIMENT,
        config.name,
        folder,
        {key: str(value) for key, value in flat(config).items()},
        # With other options than those of a start that failed: MLflow does not change parameters.
        replace=saved.exists() and not finished and saved.read_text() != to_yaml(config),
    )
    saved.write_text(to_yaml(config))
    try:
        data = _content_hash(with_files)
        tracker.tags(provenance_tags(seed=_seed(config), data=data))
        found = search(inputs, config.settings, config.ray)
        truth = None if config.radio else Table.read(folder / "sky" / "truth.parquet")
        sections = make_sections(found, inputs, pulsars, config.settings, config.charts, truth)
        page = _write(found, inputs, sections, config, folder, data)
        _log(tracker, found, sections, page, folder)
    except BaseException as error:
        tracker.finish(end_status(error))
        raise
    tracker.finish()
    for section in terminal_sections(sections):
        print_section(section, console)
    console.print(
        f"\ntables  {folder}\npage    {page}\nview    {tracker.how_to_look}\n"
        f"repeat  {command('steep-spectrum')} --config {shlex.quote(str(saved))} --name another",
        highlight=False,
        soft_wrap=True,
    )
    return SearchResult(folder, page, found, tracker)


def read_inputs(config: SearchConfig) -> tuple[Inputs, Table | None]:
    """All input catalogues, in standard columns, and the pulsars of psrcat if given.

    Raises:
        InputError: a file cannot be used.
    """
    counts: list[Rejections] = []

    def read(path: Path, survey: SurveyDescription) -> Table:
        table, step = read_catalogue(path, survey)
        counts.extend(step)
        return table

    survey = _described(config.radio_survey, "radio", "--radio-survey")
    others = _pairs(config.companions, "radio", "--companions")
    if any(other.name == survey.name for other, _ in others):
        raise InputError(
            f"--companions {survey.name}: the survey of --radio, whose observations would count twice. Remove it."
        )
    radio = read(config.radio, survey)
    regions = read_4fgl(config.regions)
    companions = [Companion(other, read(path, other)) for other, path in others]
    optical = [OpticalCatalogue(s, read(path, s)) for s, path in _pairs(config.optical, "optical", "--optical")]
    known, pulsars = [], None
    if config.pulsars is not None:
        pulsars, step = read_psrcat(config.pulsars)
        counts.extend(step)
        known.append(pulsars_as_known(pulsars))
    if config.known is not None:
        known.append(read_known(config.known))
    later = read_4fgl(config.later_regions) if config.later_regions else None
    return Inputs(radio, survey, regions, companions, optical, known, counts, later), pulsars


def _pairs(named: dict[str, Path], kind: str, option: str) -> list[tuple[SurveyDescription, Path]]:
    return [(_described(name, kind, option), path) for name, path in named.items()]


def _described(name: str, kind: str, option: str) -> SurveyDescription:
    survey = survey_description(name)
    if survey.kind != kind:
        raise InputError(f"{option} {name}: the kind of this survey is {survey.kind}; {option} needs {kind} surveys.")
    return survey


def _check(config: SearchConfig) -> None:
    if config.radio is None:
        named = [
            option
            for option, value in (
                ("--regions", config.regions),
                ("--later-regions", config.later_regions),
                ("--companions", config.companions),
                ("--optical", config.optical),
                ("--pulsars", config.pulsars),
                ("--known", config.known),
            )
            if value
        ]
        if named:
            raise InputError(
                f"{', '.join(named)}: without --radio a simulated sky with its own catalogues is searched. "
                f"Add --radio CATALOGUE, or remove {'this option' if len(named) == 1 else 'these options'}."
            )
    elif config.regions is None:
        raise InputError(
            "--radio needs --regions: a 4FGL release, e.g. gll_psc_v35.fit, from "
            "https://fermi.gsfc.nasa.gov/ssc/data/access/lat/."
        )


def simulated_inputs(config: SearchConfig, folder: Path) -> SearchConfig:
    """Write a simulated sky into a folder; the configuration with its files as inputs."""
    files = write_sky(simulate_sky(config.sky), folder)
    return replace(
        config,
        radio=files["mals"],
        radio_survey="mals_dr1",
        regions=files["regions"],
        companions={name: files[name] for name in ("tgss", "racs_low", "nvss")},
        optical={"panstarrs": files["panstarrs"], "allwise": files["allwise"], "gaia_dr3": files["gaia"]},
        pulsars=files["known_pulsars"] if config.sky.known_pulsars else None,
    )


def _seed(config: SearchConfig) -> int | None:
    """The seed of the simulated sky; a search of catalogues has none."""
    return config.sky.seed if config.radio is None else None


def _content_hash(config: SearchConfig) -> str:
    """Hash of the bytes of all input files."""
    single = (config.radio, config.regions, config.later_regions, config.pulsars, config.known)
    files = [*single, *config.companions.values(), *config.optical.values()]
    digest = hashlib.blake2b(digest_size=16)
    for path in files:
        digest.update(f"{file_hash(path) if path and path.is_file() else ''}\n".encode())
    return digest.hexdigest()


def _write(
    found: Search, inputs: Inputs, sections: list[Section], config: SearchConfig, folder: Path, data: str
) -> Path:
    """Write tables and report page. Sources and points, which are as long as the catalogue, in Parquet only."""
    about = {"radio": str(inputs.radio.meta["path"]), "regions": str(inputs.regions.meta["path"]), "name": config.name}
    for name, table, spec, formats in (
        ("candidates", found.candidates, MEMBERS, None),
        ("members", found.members, MEMBERS, None),
        ("regions", found.regions, REGIONS, None),
        ("sources", found.sources, SOURCES, ("parquet",)),
        ("points", found.points, POINTS, ("parquet",)),
    ):
        table.meta.update(about)
        write_table(table, folder / name, spec, *([formats] if formats else []))
    rejection_table(found.counts).write(folder / "rejections.csv", overwrite=True)
    facts = about | {
        "radio survey": f"{inputs.survey.title} ({inputs.survey.citation})",
        "provenance": provenance_line(seed=_seed(config), data=data),
        "other surveys": ", ".join(c.survey.title for c in (*inputs.companions, *inputs.optical)) or "none",
    }
    return save_report(
        folder / REPORT,
        f"Steep-spectrum sources in Fermi error regions: {config.name}",
        facts,
        sections,
        "mmae-steepspec-1",
    )


def _log(tracker: Tracker, found: Search, sections: list[Section], page: Path, folder: Path) -> None:
    tracker.file(folder / CONFIG)
    for path in sorted(folder.glob("candidates.*")) + sorted(folder.glob("regions.*")) + [folder / "rejections.csv"]:
        tracker.file(path, "tables")
    tracker.metrics(
        {
            "sources": len(found.sources),
            "regions": len(found.regions),
            "members": len(found.members),
            "candidates": len(found.candidates),
        }
    )
    log_report(tracker, sections, page)
    tracker.describe(f"{len(found.candidates)} candidates in {len(found.regions)} regions searched.")
