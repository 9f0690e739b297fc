"""End-to-end tests of the report on a synthetic survey."""

from __future__ import annotations

import io
import json
import re
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient
from rich.console import Console

from mmae.core.errors import InputError
from mmae.core.folders import home
from mmae.inference import photoz_boosting
from mmae.realism import photoz, pixels, report
from mmae.realism.reference import HSC_FILE, ZCOSMOS_FILE, Loaded
from mmae.realism.report import write_report
from mmae.realism.rows import NO_TRUTH
from mmae.report import save
from mmae.survey.store import open_survey
from mmae.tracking.runs import tracking_uri
from tests.realism.surveys import fake_simulator, make_survey

SECTIONS = ["pixels", "redshift", "colours", "locus", "images", "spectra", "lines", "photoz", "photometry", "examples"]


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=160)


@pytest.fixture
def own(survey, tmp_path, monkeypatch):
    """A writable copy of the survey, and a simulator that reproduces its rows."""
    monkeypatch.setattr(report, "survey_simulator", lambda s, objects: Loaded(fake_simulator(s, objects)))
    return open_survey(shutil.copytree(survey.path, tmp_path / "own"))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Fewer trees and resamples: these tests check the form of the report, not its numbers."""
    monkeypatch.setattr(photoz_boosting, "MAX_ITERATIONS", 10)
    monkeypatch.setattr(photoz, "RESAMPLES", 10)
    monkeypatch.setattr(pixels, "RESAMPLES", 10)
    monkeypatch.setattr(report, "MAX_STAMPS", 100)


@pytest.fixture
def undrawn(monkeypatch):
    """Figures are created but not rendered, which takes most of the time."""
    monkeypatch.setattr(save, "save_figure", lambda figure, path: path.write_bytes(b"a figure"))


def read(page: Path) -> dict:
    def refuse(text):
        raise AssertionError(f"{text} is not valid JSON")

    content = json.loads((page.parent / "report.json").read_text(), parse_constant=refuse)
    assert [s["name"] for s in content["sections"]] == SECTIONS
    return content


def left_out(content: dict) -> dict[str, str]:
    return {s["name"]: s["left_out"] for s in content["sections"] if s["left_out"]}


def test_complete_report(own, reference, console, monkeypatch):
    monkeypatch.setattr(save, "save_figure", lambda figure, path: figure.savefig(path, dpi=40))  # quick
    page = write_report(own, reference, console)
    assert page == own.path / "report" / "report.html"
    content = read(page)
    assert left_out(content).keys() == {"locus"}  # no tables of SDSS and DESI (test_locus.py)
    assert content["judged"] > 80 and 0 < content["met"] < content["judged"]
    html = page.read_text()
    figures = [file.stat().st_size for file in page.parent.glob("*.png")]
    assert len(figures) == html.count("data:image/png") == 13 and min(figures) > 1000
    assert not re.search(r'(src|href)="(https?:)?//', html)  # no network access
    printed = console.file.getvalue()
    for section in content["sections"]:
        assert section["title"] in printed and section["title"] in html
    assert "25%" in printed and str(page) in printed
    numbers, table = content["numbers"], content["sections"][0]["tables"][0]
    row = dict(zip((c["name"] for c in table["columns"]), table["rows"][0], strict=True))
    assert row["simulated"] == {
        "value": numbers["pixels/moments/mean_of_counts_g/simulated"],
        "error": numbers["pixels/moments/mean_of_counts_g/simulated_error"],
    }


def test_numbers_and_page_are_logged_to_mlflow(own, console, undrawn):
    page = write_report(own, None, console)
    write_report(own, None, console)  # a second report of a survey uses the same run
    client = MlflowClient(tracking_uri(home()))
    experiment = client.get_experiment_by_name("surveys")
    runs = [
        r
        for r in client.search_runs([experiment.experiment_id])
        if r.info.run_name == own.path.name
        and r.data.params["content_hash"] == own.content_hash
        and r.data.tags["mmae.run_dir"] == str(own.path)
    ]
    assert len(runs) == 1 and runs[0].info.status == "FINISHED"
    content = read(page)
    assert runs[0].data.metrics["judged"] == content["judged"]
    assert content["numbers"].items() <= runs[0].data.metrics.items()
    logged = {f.path for f in client.list_artifacts(runs[0].info.run_id, "report")}
    assert logged == {f"report/{file.name}" for file in page.parent.iterdir()}


def test_report_without_real_data(own, console, undrawn):
    folder = own.path / "report"
    folder.mkdir()
    (folder / "bpt.png").write_bytes(b"figure of an earlier report")
    (folder / "notes.txt").write_text("a file of the user")
    content = read(write_report(own, None, console))
    assert not (folder / "bpt.png").exists() and (folder / "notes.txt").exists()
    open_survey(own.path)  # the survey is still valid
    out = left_out(content)
    assert set(out) == {"colours", "locus", "images", "spectra", "lines", "photoz", "examples"}
    assert all("--reference" in reason for reason in out.values())
    tables = {s["name"]: len(s["tables"]) for s in content["sections"]}
    assert tables["pixels"] and tables["redshift"] == 2 and tables["images"] == 4 and tables["photoz"] == 1
    assert not tables["colours"] and not tables["lines"]
    assert "--reference" in console.file.getvalue()


def test_missing_and_damaged_files_leave_out_their_sections_only(own, reference, tmp_path, console, undrawn):
    folder = Path(shutil.copytree(reference, tmp_path / "some"))
    (folder / ZCOSMOS_FILE).unlink()
    (folder / HSC_FILE).write_bytes(b"not an archive")
    content = read(write_report(own, folder, console))
    out = left_out(content)
    assert set(out) == {"colours", "locus", "photoz", "images", "examples"}
    assert ZCOSMOS_FILE in out["colours"] and HSC_FILE in out["images"]
    assert {s["name"]: bool(s["tables"]) for s in content["sections"]}["lines"]


def test_missing_reference_folder_raises(own, console, tmp_path):
    with pytest.raises(InputError, match="nowhere.*--reference"):
        write_report(own, tmp_path / "nowhere", console)
    assert not (own.path / "report").exists()


def test_survey_without_truth_spectra_and_simulator(tmp_path, reference, console, undrawn):
    bare = make_survey(tmp_path / "bare", 120, truth=False, spectra=False)
    out = left_out(read(write_report(bare, reference, console)))
    assert out["lines"] == out["photometry"] == NO_TRUTH
    assert "spectra" in out and "images" not in out
