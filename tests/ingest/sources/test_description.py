"""The YAML files of known sources, own ones, and what the documentation says of them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from mmae.cli import parse
from mmae.core.errors import InputError
from mmae.ingest import job
from mmae.ingest.config import BuildConfig
from mmae.ingest.job import build_job
from mmae.ingest.layouts.all import LAYOUTS
from mmae.ingest.sources.description import known_names, known_source, on_grid
from mmae.ingest.sources.grid import GridConfig
from tests.ingest.files import read_all
from tests.ingest.small import in_turn
from tests.ingest.sources.mmu import desi_columns, partition, sdss_columns
from tests.ingest.sources.read import opened

DOCS = (Path(__file__).parents[3] / "docs" / "surveys.md").read_text()


@pytest.mark.parametrize("name", known_names())
def test_every_description_is_valid_and_documented(name):
    source = known_source(name)
    assert source.name == name and source.layout in LAYOUTS and source.traps
    assert f"| `{name}` |" in DOCS
    tried = DOCS.partition("**Tested with real files of the archives**")[2].partition("**All others")[0]
    assert (source.tried == "real files") == (f"`{name}`" in tried)


def test_commands_of_the_documentation_are_valid():
    blocks = "\n".join(re.findall(r"```\n(.*?)```", DOCS, re.DOTALL)).replace("\\\n", " ")
    commands = [line.partition("build_survey.py")[2] for line in blocks.splitlines() if "build_survey.py" in line]
    rows = re.findall(r"^\| `([\w-]+)` \|.*\| `(--[^`]+)` \|$", DOCS, re.MULTILINE)
    commands += [f"--out s --source {'paired' if 'pair' in options else name} {options}" for name, options in rows]
    assert len(commands) == 3 + len(known_names())
    for command in commands:
        config = parse(BuildConfig, "", argv=shlex.split(command))
        assert config.inputs or config.pair.sources or config.pair.catalogues


def test_the_example_of_an_own_description_works(tmp_path):
    text = re.search(r"```yaml\n(.*?)```", DOCS, re.DOTALL).group(1)
    (tmp_path / "mine.yaml").write_text(text)
    wave = np.arange(5000.0, 6000.0, 1.0)
    image = np.random.default_rng(0).normal(0, 1, (70, 70))
    table = pa.table(
        {
            "id": ["a", "b"],
            "ra": [1.0, 2.0],
            "dec": [0.0, 0.0],
            "z": [0.1, -99.0],
            "logm": [10.5, 9.5],
            "spec": [{"flux": [1.0] * 1000, "ivar": [4.0] * 1000, "wave": wave.tolist(), "mask": [False] * 1000}] * 2,
            "img": [[image.tolist(), (2 * image).tolist()]] * 2,
            "good": [np.ones((70, 70), bool).tolist()] * 2,
        }
    )
    pq.write_table(table, tmp_path / "mine.parquet")
    source = opened(str(tmp_path / "mine.yaml"), tmp_path / "mine.parquet")
    (first, second), _, rejections = read_all(source)
    assert not rejections and first.extra == {"log_stellar_mass": 10.5}
    assert (first.redshift, second.redshift) == (0.1, None)
    np.testing.assert_allclose(first.image_CHW[1], 2 * image[3:67, 3:67], rtol=1e-6)
    np.testing.assert_allclose(source.spec.band_noise, [1, 2], rtol=0.1)


def test_invalid_descriptions_name_the_field(tmp_path):
    values = yaml.safe_load((Path(job.__file__).parent / "sources" / "mmu-hsc.yaml").read_text())
    for change, named in (
        ({"layout": "csv"}, "layout"),
        ({"image": values["image"] | {"bands": {"hsc-g": "g"}}}, "survey.bands"),
        ({"columns": {"right_ascension": "ra"}}, "right_ascension"),
    ):
        (tmp_path / "own.yaml").write_text(yaml.safe_dump(values | change))
        with pytest.raises(InputError, match=named):
            known_source(str(tmp_path / "own.yaml"))


def test_grid_options():
    hsc = known_source("mmu-hsc")
    assert on_grid(hsc, GridConfig()) == hsc
    assert on_grid(hsc, GridConfig(bands=("r",), image_size=32)).survey.spec().image_shape == (1, 32, 32)
    for grid, named in ((GridConfig(bands=("u",)), "survey.bands names u"), (GridConfig(image_size=-1), "image_size")):
        with pytest.raises(InputError, match=named):
            on_grid(hsc, grid)


@pytest.fixture
def without_ray(monkeypatch):
    from functools import partial

    monkeypatch.setattr(job, "start_ray", lambda: None)
    monkeypatch.setattr(job, "build_survey", partial(job.build_survey, run=in_turn))
    monkeypatch.setattr(job, "source_of", partial(job.source_of, run=in_turn))


def test_two_sources_in_one_survey(tmp_path, without_ray):
    partition(tmp_path / "desi", desi_columns(4))
    partition(tmp_path / "sdss", sdss_columns(3))
    config = BuildConfig(
        tmp_path / "s",
        source=("mmu-desi", "mmu-sdss"),
        inputs=(f"mmu-desi={tmp_path}/desi", f"mmu-sdss={tmp_path}/sdss"),
    )
    survey = build_job(config)
    assert sum(survey.rows_per_split().values()) == 7
    assert survey.spec.extra_columns == (("line_spread_sigma", 1),)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"source": ("mmu-desi",)}, "--inputs PATTERN"),
        ({"source": ("mmu-desi", "mmu-sdss"), "inputs": ("x",)}, "--inputs mmu-desi=PATTERN"),
        ({"inputs": ("x",)}, "--inputs .*--source is simulated"),
        ({"grid": GridConfig(image_size=32)}, "--grid"),
        ({"source": ("sdss",)}, "--source sdss: no such source.*sdss-spec"),
    ],
)
def test_missing_inputs_are_named(tmp_path, without_ray, options, named):
    with pytest.raises(InputError, match=named):
        build_job(BuildConfig(tmp_path / "s", **options))
