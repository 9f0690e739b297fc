"""The options of ray_jobs/build_survey.py, and when it builds a survey or writes the report."""

from __future__ import annotations

import shlex
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from mmae.cli import parse
from mmae.commands import build_survey as build_survey_command
from mmae.core.errors import InputError
from mmae.ingest import job
from mmae.ingest.build import build_survey
from mmae.ingest.config import BuildConfig, SplitConfig
from mmae.ingest.job import build_job
from mmae.realism import job as report_job
from mmae.realism.job import build_command
from mmae.simulation.config import SimulationConfig
from mmae.survey.store import open_survey
from tests.ingest.small import in_turn
from tests.ingest.test_build import memory_source


def command_line(text: str) -> BuildConfig:
    return parse(BuildConfig, "", argv=shlex.split(text))


def test_simulation_options_have_no_prefix():
    config = command_line("--out s --seed 3 --paired-fraction 0.1 --labelled-fraction 0.5 --split.seed 4 --workers 2")
    assert config.simulation == SimulationConfig(seed=3, paired_fraction=0.1, labelled_fraction=0.5)
    assert config.split.seed == 4 and config.workers == 2
    with pytest.raises(SystemExit):
        command_line("--out s --simulation.seed 3")
    for field in fields(SimulationConfig):
        value = getattr(SimulationConfig(), field.name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            option = f"--{field.name.replace('_', '-')} {value}"
            assert command_line(f"--out s {option}") == command_line("--out s")


def test_invalid_simulation_option_is_an_input_error():
    with pytest.raises(InputError, match=r"paired_fraction.*2\.0"):
        command_line("--out s --paired-fraction 2")


def test_examples_in_the_docstring_are_valid():
    text = build_survey_command.__doc__.replace("\\\n", " ")
    examples = [line.strip() for line in text.splitlines() if line.strip().startswith("python ")]
    assert len(examples) == 8 and any("--report" in line for line in examples)
    for line in examples:
        command_line(line.removeprefix("python ray_jobs/build_survey.py "))


@pytest.mark.parametrize("size", [64, 127])
def test_image_size_applies_to_the_simulated_survey(size, monkeypatch, tmp_path):
    monkeypatch.setattr(job, "simulation_source", lambda simulation, spec: spec)
    assert job._source("simulated", BuildConfig(tmp_path, image_size=size)).image_size == size


@pytest.fixture
def simulated(monkeypatch):
    """The memory source instead of the simulator, and no Ray."""

    def source(simulation, spec):
        return replace(memory_source(40), provenance=asdict(simulation))

    monkeypatch.setattr(job, "simulation_source", source)
    monkeypatch.setattr(job, "start_ray", lambda: None)
    monkeypatch.setattr(job, "build_survey", partial(build_survey, run=in_turn))


@pytest.fixture
def reports(monkeypatch) -> list[tuple]:
    """The arguments of each call of write_report."""
    calls = []
    monkeypatch.setattr(report_job, "write_report", lambda *arguments: calls.append(arguments))
    return calls


def test_report_is_written_for_a_new_and_for_a_finished_survey(tmp_path, simulated, reports, monkeypatch):
    config = BuildConfig(tmp_path / "s", report=True, reference=tmp_path)
    build_command(config, console := Console())
    survey = open_survey(tmp_path / "s")
    ((built, *rest),) = reports
    assert (built.path, built.content_hash) == (survey.path, survey.content_hash) and rest == [tmp_path, console]

    monkeypatch.setattr(job, "build_survey", lambda *_: pytest.fail("built again"))
    before = {path: path.stat().st_mtime_ns for path in survey.path.rglob("*")}
    build_command(replace(config, reference=None, workers=2), console)
    assert reports[1:] == [(survey, None, console)]
    assert {path: path.stat().st_mtime_ns for path in survey.path.rglob("*")} == before

    for other, differs in (
        (replace(config, simulation=SimulationConfig(seed=1)), r"sources\.0\.seed is 0, requested 1"),
        (replace(config, split=SplitConfig((0.8, 0.1, 0.1))), r"split\.fractions\.0 is 0\.7, requested 0\.8"),
    ):
        with pytest.raises(InputError, match=differs) as caught:
            build_command(other)
        assert str(tmp_path / "s") in str(caught.value)
    same_provenance = replace(memory_source(40), provenance=asdict(SimulationConfig()))
    other_spec = replace(same_provenance, spec=replace(same_provenance.spec, zero_point=22.5))
    monkeypatch.setattr(job, "simulation_source", lambda *_: other_spec)
    with pytest.raises(InputError, match=r"spec\.zero_point is 27\.0, requested 22\.5"):
        build_command(config)
    assert len(reports) == 2


def test_without_report_a_finished_survey_is_not_changed(tmp_path, simulated, reports):
    config = BuildConfig(tmp_path / "s")
    build_command(config)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "s").rglob("*")}
    with pytest.raises(InputError, match=str(tmp_path / "s")):
        build_command(config)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "s").rglob("*")} == before
    assert reports == []


def test_report_for_a_folder_with_other_files_is_refused(tmp_path, simulated, reports):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=str(tmp_path)):
        build_command(BuildConfig(tmp_path, report=True))
    assert reports == []


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"source": ("desi",), "report": True}, "--report .*--source is desi"),
        ({"reference": Path("/")}, "--reference .*--report"),
        ({"reference": Path("/absent"), "report": True}, "--reference /absent"),
        ({"image_size": 100}, "--image-size is 100"),
        ({"workers": 0}, "workers is 0"),
    ],
)
def test_contradicting_options_are_refused(tmp_path, simulated, options, named):
    with pytest.raises(InputError, match=named):
        build_job(BuildConfig(tmp_path / "s", **options))
    assert not list(tmp_path.iterdir())
