"""The command from input files to tables, report page and MLflow run; errors end with one line."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io.votable import parse_single_table
from astropy.table import Table
from mlflow import MlflowClient
from rich.console import Console

from mmae.commands import steep_spectrum
from mmae.core.errors import InputError
from mmae.core.files import folder_lock
from mmae.core.folders import home
from mmae.core.settings import from_yaml, to_yaml
from mmae.steepspec.catalogue import read_catalogue, survey_description
from mmae.steepspec.config import SearchConfig, SearchSettings, SkySettings
from mmae.steepspec.job import search_job, simulated_inputs
from mmae.steepspec.schema import MEMBERS

ROOT = Path(__file__).parents[2]
SKY = SkySettings(pointings=1, overlapping=0, regions=10, regions_per_pointing=10, field_pulsars=60)
QUICK = SearchSettings(shifts=10)


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=140)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """One search over a small simulated sky, and its terminal output."""
    out = Console(file=io.StringIO(), width=140)
    config = SearchConfig(name="small", home=str(tmp_path_factory.mktemp("home")), charts=2, settings=QUICK, sky=SKY)
    return config, search_job(config, out), out.file.getvalue()


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> SearchConfig:
    """The files of the same sky, as input files of a user."""
    return simulated_inputs(SearchConfig(sky=SKY), tmp_path_factory.mktemp("files"))


def test_tables_in_three_formats_agree_and_have_units_and_ucds(done):
    _, result, _ = done
    parquet = pq.read_table(result.folder / "candidates.parquet")
    fits = Table.read(result.folder / "candidates.fits")
    votable = parse_single_table(result.folder / "candidates.vot")
    assert len(parquet) == len(fits) == len(result.search.candidates) > 0
    assert parquet["rank"].to_pylist() == fits["rank"].tolist() == list(range(1, len(fits) + 1))
    np.testing.assert_allclose(parquet["alpha"].to_numpy(), np.asarray(votable.array["alpha"]))
    for column in MEMBERS:
        field = parquet.schema.field(column.name).metadata
        assert field[b"ucd"].decode() == column.ucd == votable.get_field_by_id_or_name(column.name).ucd
        assert field.get(b"unit", b"").decode() == column.unit
    sources = pq.read_table(result.folder / "sources.parquet")
    assert len(sources) == len(result.search.sources)
    assert len(Table.read(result.folder / "rejections.csv")) == len(result.search.counts)


def test_the_page_has_every_section_and_figure(done):
    _, result, printed = done
    html = result.page.read_text()
    content = json.loads((result.page.parent / "report.json").read_text())
    names = [section["name"] for section in content["sections"]]
    assert names == ["summary", "candidates", "rejections", "spectra", "counterparts", "gamma", "pulsars", "truth"]
    figures = {file.name: file.stat().st_size for file in result.page.parent.glob("*.png")}
    assert {
        "finder_01.png",
        "spectra.png",
        "alpha.png",
        "colours.png",
        "detectability.png",
        "chance.png",
        "sky.png",
        "truth_completeness.png",
        "truth_confusion.png",
    } <= set(figures)
    assert min(figures.values()) > 5000 and html.count("data:image/png") == len(figures)
    assert f"candidates {len(result.search.candidates)}" in re.sub(r" +", " ", printed)
    assert str(result.page) in printed
    assert printed.count("purity, ellipses") == 1  # from the brief table of the truth section


def test_page_lists_candidates_with_index_and_error(done):
    _, result, _ = done
    content = json.loads((result.page.parent / "report.json").read_text())
    (table,) = next(s["tables"] for s in content["sections"] if s["name"] == "candidates")
    names = [column["name"] for column in table["columns"]]
    best = result.search.candidates[0]
    row = dict(zip(names, table["rows"][0], strict=True))
    assert row["rank"] == "1" and row["source"] == best["source_id"] and row["region"] == best["region"]
    alpha, error = row["alpha"].replace("\N{MINUS SIGN}", "-").split("±")
    assert float(alpha) == pytest.approx(best["alpha"], rel=1e-2)
    assert float(error) == pytest.approx(best["alpha_err"], rel=0.05)  # two digits


def test_every_number_of_the_report_has_its_own_metric_name(done):
    _, result, _ = done
    content = json.loads((result.page.parent / "report.json").read_text())
    cells = [cell for s in content["sections"] for t in s["tables"] for row in t["rows"] for cell in row]
    values = [x for cell in cells for x in (cell.values() if isinstance(cell, dict) else [cell])]
    finite = [x for x in values if isinstance(x, (int, float)) and not isinstance(x, bool)]
    assert len(content["numbers"]) == len(finite)


def test_the_run_is_in_mlflow(done):
    config, result, _ = done
    client = MlflowClient(result.tracker.uri)
    run = client.get_run(result.tracker.run_id)
    assert run.info.status == "FINISHED" and run.data.params["sky.pointings"] == "1"
    assert run.data.metrics["candidates"] == len(result.search.candidates)
    assert run.data.metrics["summary/counts/radio_sources/n"] == len(result.search.sources)
    kept = {f.path for folder in ("report", "tables") for f in client.list_artifacts(run.info.run_id, folder)}
    assert {"report/report.html", "report/spectra.png", "tables/candidates.vot", "tables/rejections.csv"} <= kept


@pytest.mark.long
def test_a_repeated_search_is_identical_and_other_options_are_an_error(done, console):
    config, result, _ = done
    before = (result.folder / "candidates.parquet").read_bytes()
    saved = from_yaml(result.folder / "config.yaml", SearchConfig)
    assert saved == replace(config)
    again = search_job(saved, console)
    assert again.tracker.run_id == result.tracker.run_id
    assert (again.folder / "candidates.parquet").read_bytes() == before
    with pytest.raises(InputError, match=r"sky\.seed.*--name"):
        search_job(replace(config, sky=replace(SKY, seed=1)), console)


@pytest.mark.long
def test_the_command_searches_files_given_by_options(files, tmp_path, done, monkeypatch):
    """MALS column names and -999 sentinels, all inputs given by options."""
    assert {"Flux", "FluxPk", "Spwfit", "SPW/WB"} <= set(Table.read(files.radio).colnames)
    assert (Table.read(files.radio)["Spwfit"] == -999).any()
    pairs = [
        [f"--{name}", *(str(x) for pair in getattr(files, name).items() for x in pair)]
        for name in ("companions", "optical")
    ]
    command = [
        "ray_jobs/steep_spectrum.py",
        "--radio",
        files.radio,
        "--regions",
        files.regions,
        *pairs[0],
        *pairs[1],
        "--pulsars",
        files.pulsars,
        "--name",
        "own",
        "--home",
        tmp_path,
        "--charts",
        "0",
        "--shifts",
        "10",
    ]
    monkeypatch.setattr(sys, "argv", [str(x) for x in command])
    steep_spectrum.job()
    searched = pq.read_table(tmp_path / "steepspec" / "own" / "candidates.parquet")
    _, result, _ = done
    for name in ("source_id", "region", "alpha", "source_class"):  # equal to the search without options
        assert searched[name].to_pylist() == result.search.candidates[name].tolist()
    assert not np.isin(-999, np.asarray(pq.read_table(tmp_path / "steepspec/own/sources.parquet")["alpha"]))


def edited(change):
    """The same search with a change in a copy of the radio catalogue."""

    def with_copy(config: SearchConfig, folder: Path) -> SearchConfig:
        table = Table.read(config.radio)
        change(table)
        table.write(folder / "changed.fits")
        return replace(config, radio=folder / "changed.fits")

    return with_copy


# name of the case -> change of the configuration, and what the error must name
BAD = {
    "missing file": (lambda c, t: replace(c, radio=t / "nowhere.fits"), r"nowhere\.fits"),
    "no regions": (lambda c, t: replace(c, regions=None), "--radio.*--regions"),
    "not 4FGL": (lambda c, t: replace(c, regions=c.radio), "LAT_Point_Source_Catalog"),
    "unknown survey": (lambda c, t: replace(c, radio_survey="mals"), "'mals'"),
    "optical as radio": (
        lambda c, t: replace(c, companions={"allwise": c.optical["allwise"]}),
        "--companions allwise: .*optical",
    ),
    "missing column": (edited(lambda x: x.remove_columns(["Flux", "FluxPk"])), "flux_mjy"),
    "wrong unit": (edited(lambda x: setattr(x["Flux"], "unit", "arcsec")), "Flux: .*arcsec"),
    "wrong windows": (edited(lambda x: x.replace_column("SPW/WB", ["L"] * len(x))), r"LSPW_2 or LSPW_9.*\bL\b"),
    "truncated file": (lambda c, t: replace(c, radio=truncated(c.radio, t / "a.fits")), r"a\.fits"),
    "no table": (lambda c, t: replace(c, radio=binary(t / "a.dat")), r"a\.dat"),
    "not psrcat": (lambda c, t: replace(c, pulsars=c.companions["tgss"]), "PSRJ"),
    "known without class": (lambda c, t: replace(c, known=c.companions["tgss"]), "column name, class"),
    "too many shifts": (lambda c, t: replace(c, settings=replace(QUICK, shifts=1000)), "shifts is 1000"),
    "inputs without radio": (lambda c, t: replace(c, radio=None), "--regions, --companions, --optical, --pulsars"),
}


def binary(path: Path) -> Path:
    """A file that is no table of any format."""
    path.write_bytes(bytes(range(256)) * 8)
    return path


def truncated(path: Path, out: Path) -> Path:
    out.write_bytes(path.read_bytes()[:7000])
    return out


@pytest.mark.parametrize("name", BAD)
def test_error_names_the_invalid_input(name, files, tmp_path, console):
    change, named = BAD[name]
    config = replace(files, name="bad", home=str(tmp_path / "home"), charts=0, settings=QUICK)
    with pytest.raises(InputError, match=named):
        search_job(change(config, tmp_path), console)


def test_the_command_ends_with_one_line_and_status_2(tmp_path):
    ended = subprocess.run(
        [
            sys.executable,
            "ray_jobs/steep_spectrum.py",
            "--radio",
            "nowhere.fits",
            "--regions",
            "x.fit",
            "--home",
            str(tmp_path),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    assert re.match(r"error: .*nowhere\.fits:", ended.stderr.strip().splitlines()[-1])


def test_configured_paths_are_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = SearchConfig(
        radio=Path("a.fits"), regions=Path("b.fit"), companions={"nvss": Path("c"), "d.yaml": Path("e")}, home="h"
    )
    assert (config.radio, config.home) == (tmp_path / "a.fits", str(tmp_path / "h"))
    assert config.companions == {"nvss": tmp_path / "c", str(tmp_path / "d.yaml"): tmp_path / "e"}
    assert config.radio_survey == "mals_dr1" and SearchConfig(radio_survey="x.yml").radio_survey == str(
        tmp_path / "x.yml"
    )


def test_a_failed_search_claims_no_name_and_a_running_one_is_alone(files, tmp_path, console):
    config = replace(files, name="first", home=str(tmp_path))
    with pytest.raises(InputError, match="nowhere"):
        search_job(replace(config, known=tmp_path / "nowhere.csv"), console)
    folder = tmp_path / "steepspec" / "first"
    assert not (folder / "config.yaml").exists()
    (folder / "config.yaml").write_text(to_yaml(replace(config, charts=1)))  # as a search that was killed
    with folder_lock(folder, "held"), pytest.raises(InputError, match="another process"):
        search_job(config, console)
    with pytest.raises(InputError, match="nowhere"):  # other options than the killed search are accepted
        search_job(replace(config, known=tmp_path / "nowhere.csv"), console)


def test_configuration_from_a_file_with_an_unknown_field(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(to_yaml(SearchConfig()) + "colour: red\n")
    with pytest.raises(InputError, match="colour"):
        from_yaml(path, SearchConfig)
    assert SearchConfig().home_path == home()


def test_a_survey_described_by_a_yaml_file_of_the_user(files, tmp_path, console):
    survey = survey_description("mals_dr1")
    mals, _ = read_catalogue(files.radio, survey)
    mals = mals[mals["band"] == "LSPW_9"]
    Table(
        {
            "nu_name": mals["source_id"],
            "lon": mals["ra"],
            "lat": mals["dec"],
            "S": mals["flux_mjy"] / 1000,
            "slope": mals["alpha"],
            "e_slope": mals["alpha_err"],
        }
    ).write(tmp_path / "mine.csv")
    (tmp_path / "mine.yaml").write_text(
        "name: mine\ntitle: my survey\ncitation: nobody\nfrequency_mhz: 1381\nbeam_arcsec: 8\nlimit_mjy: 0.11\n"
        "columns: {source_id: [nu_name], ra: [lon], dec: [lat], flux_mjy: [S], alpha: [slope], alpha_err: [e_slope]}\n"
        "units: {flux_mjy: Jy}\n"
    )
    result = search_job(
        SearchConfig(
            name="mine",
            home=str(tmp_path),
            radio=tmp_path / "mine.csv",
            radio_survey=str(tmp_path / "mine.yaml"),
            regions=files.regions,
            charts=1,
            settings=QUICK,
        ),
        console,
    )
    steep = result.search.sources[np.asarray(result.search.sources["steep"])]
    assert len(steep) == int((mals["alpha"] < -1.4).sum()) and set(steep["alpha_from"]) == {"catalogue"}
    content = json.loads((result.page.parent / "report.json").read_text())
    out = {s["name"]: s["left_out"] for s in content["sections"] if s["left_out"]}
    assert "--optical" in out["counterparts"] and "--pulsars" in out["pulsars"]
