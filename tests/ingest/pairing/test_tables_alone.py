"""Surveys of catalogues alone: any bands, errors, with and without positions; splits for tests only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from mmae.core.errors import InputError
from mmae.ingest.build import build_survey
from mmae.ingest.chunk import SplitConfig
from mmae.ingest.contact_sheet import save_contact_sheet
from mmae.ingest.description import read_description
from mmae.ingest.pairing.config import PairConfig
from mmae.ingest.pairing.source import paired_source
from mmae.loader.collate import galaxy_columns, to_batch
from mmae.model.config import ModalitiesConfig
from mmae.model.part_configs import MagnitudesConfig
from mmae.recipes import recipe
from mmae.survey.store import Survey, open_survey
from mmae.training.run import require_usable

DESCRIPTION = """
name: colours
catalogue:
  object_id: id
  redshift: z
  ra: {ra}
  dec: {dec}
  magnitudes: {{u: umag, Ks: kmag, W1: w1mag}}
  magnitude_errors: {{u: uerr, W1: w1err}}
"""
HEADER = "id,alpha,delta,z,umag,kmag,w1mag,uerr,w1err\n"


def serially(jobs, work, workers=None):
    return iter([work(job) for job in jobs])


@pytest.fixture
def build(tmp_path):
    """Builds a survey from the rows of a table, without Ray."""

    def build(rows: list[str], positions: bool = True, fractions=(0.7, 0.15, 0.15), name: str = "s") -> Survey:
        (tmp_path / "table.csv").write_text(HEADER + "\n".join(rows) + "\n")
        columns = {"ra": "alpha", "dec": "delta"} if positions else {"ra": "''", "dec": "''"}
        (tmp_path / "d.yaml").write_text(DESCRIPTION.format(**columns))
        config = PairConfig(
            catalogues=(str(tmp_path / "table.csv"),), description=tmp_path / "d.yaml", rows_per_cell=40
        )
        source = paired_source(config, tmp_path / name, run=serially)
        return build_survey([source], tmp_path / name, SplitConfig(fractions), run=serially)

    return build


def many(n: int) -> list[str]:
    rng = np.random.default_rng(1)
    return [
        f"g{i},{rng.uniform(0, 360)},{rng.uniform(-60, 60)},{rng.uniform(0, 1)},20.5,19.5,18,0.1,0.05" for i in range(n)
    ]


def all_rows(survey: Survey) -> dict[str, dict]:
    tables = [pq.read_table(survey.path / shard.path, partitioning=None) for shard in survey.shards]
    return {row["object_id"]: row for table in tables for row in table.to_pylist()}


ROWS = [
    "a,10,1,0.5,20.5,19.5,18,0.1,0.05",
    "b,20,2,-99,21.5,-99,99,0.2,0.07",  # no redshift; one magnitude; an error without magnitude
    "c,30,3,0.7,-99,-99,,0.1,",  # nothing measured
    "d,999,3,0.7,20,20,20,0.1,0.1",  # not on the sky
    "e,40,4,999,20,19,18,-99,0",  # no redshift, no errors
]


def test_rows_of_a_table(build):
    survey = build(ROWS)
    rows = all_rows(survey)
    assert set(rows) == {"a", "b", "e"}
    assert survey.spec.bands == ("u", "Ks", "W1") and survey.spec.image_shape == (3, 0, 0)
    values = [
        {name: None if (value := rows[key][name]) is None else round(value, 4) for name in names}
        for key, names in (
            ("a", ("redshift", "u_cmodel_mag", "Ks_cmodel_mag", "W1_cmodel_mag", "u_mag_err", "W1_mag_err")),
            ("b", ("redshift", "u_cmodel_mag", "Ks_cmodel_mag", "W1_cmodel_mag", "u_mag_err", "W1_mag_err")),
            ("e", ("redshift", "u_mag_err", "Ks_mag_err", "W1_mag_err")),
        )
    ]
    assert list(values[0].values()) == [0.5, 20.5, 19.5, 18.0, 0.1, 0.05]
    assert list(values[1].values()) == [None, 21.5, None, None, 0.2, None]
    assert set(values[2].values()) == {None}
    rejected = pq.read_table(survey.path / "rejected.parquet").to_pylist()
    assert {r["object_id"]: r["reason"].split(":")[0] for r in rejected} == {
        "c": "no image, spectrum, magnitude or extra column is left",
        "d": "RA 999.0, declination 3.0",
    }
    assert sum(survey.counts[split]["magnitudes"] for split in survey.counts) == 3
    assert "image" not in rows["a"] and "flux" not in rows["a"] and save_contact_sheet(survey) is None
    assert open_survey(survey.path).spec == survey.spec


def test_a_table_without_positions(build):
    rows = [row.replace("999", "0.1") for row in ROWS]
    survey = build(rows + many(120), positions=False)
    found = all_rows(survey)
    assert len(found) == 124 and all(row["ra"] is None and row["_healpix_29"] is None for row in found.values())
    assert all(survey.rows_per_split().values())


def test_batches_of_a_table_for_the_model(build):
    survey = build(many(60))
    table = pq.read_table(survey.files("train"), columns=galaxy_columns(survey), partitioning=None)
    batch = to_batch(table, survey.spec)
    assert batch.present["magnitudes"].all() and not batch.present["image"].any()
    assert batch.image_BCHW.shape == (len(table), 3, 0, 0) and batch.flux_BL.shape == (len(table), 0)
    torch.testing.assert_close(batch.values["magnitudes"][0], torch.tensor([20.5, 19.5, 18.0]))
    error_BT = batch.values["magnitude_errors"]
    assert error_BT[:, 1].isnan().all() and (error_BT[:, 0] == np.float32(0.1)).all()


def test_recipes_that_read_no_magnitudes_are_refused_in_one_line(build):
    survey = build(many(200))
    assert require_usable(recipe("magnitudes"), survey).parameters > 0
    for name in ("small", "cnn", "paper"):
        with pytest.raises(InputError, match=f"no training galaxy has images.*recipe {name} .*has magnitudes") as error:
            require_usable(recipe(name), survey)
        assert "\n" not in str(error.value)


def test_a_model_of_magnitudes_and_images_needs_images(build):
    modalities = ModalitiesConfig(magnitudes=MagnitudesConfig(use=True))
    config = replace(recipe("small"), model=replace(recipe("small").model, modalities=modalities))
    with pytest.raises(InputError, match="no training galaxy has images or spectra"):
        require_usable(config, build(many(200)))


def test_a_survey_for_tests_only(build):
    survey = build(many(60), fractions=(0.0, 0.0, 1.0))
    assert survey.rows_per_split() == {"train": 0, "val": 0, "test": 60}
    with pytest.raises(InputError, match="there is no training galaxy"):
        require_usable(recipe("magnitudes"), survey)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("catalogue: {magnitudes: {u: U}, magnitude_errors: {g: EG}}", "magnitude_errors .*band g"),
        ("catalogue: {ra: '', magnitudes: {u: U}}", "catalogue.ra and catalogue.dec"),
    ],
)
def test_invalid_descriptions_are_refused(tmp_path, text, named):
    (tmp_path / "d.yaml").write_text(text)
    with pytest.raises(InputError, match=named):
        read_description(tmp_path / "d.yaml", images=False)


def test_bands_without_images(tmp_path):
    """Those of the description if it has all bands of the magnitudes, else those of the magnitudes."""
    for text, bands in (
        ("catalogue: {magnitudes: {z: Z, g: G}}", ("g", "r", "i", "z", "y")),
        ("bands: [g, z]\ncatalogue: {magnitudes: {z: Z, g: G}}", ("g", "z")),
        ("catalogue: {magnitudes: {g: G, K: K}}", ("g", "K")),
    ):
        (tmp_path / "d.yaml").write_text(text)
        assert read_description(tmp_path / "d.yaml", images=False).bands == bands


def test_magnitudes_and_positions_are_needed(tmp_path):
    (tmp_path / "t.csv").write_text("object_id,ra,dec\na,1,2\n")
    with pytest.raises(InputError, match="alone need magnitudes.*magnitudes: {g: MAG_G"):
        paired_source(PairConfig(catalogues=(str(tmp_path / "t.csv"),)), tmp_path / "s")
    (tmp_path / "d.yaml").write_text("catalogue: {ra: '', dec: ''}")
    (tmp_path / "p.fits").write_bytes(b"")
    config = PairConfig(
        catalogues=(str(tmp_path / "t.csv"),), patches=(str(tmp_path / "p.fits"),), description=tmp_path / "d.yaml"
    )
    with pytest.raises(InputError, match="matched by position"):
        paired_source(config, tmp_path / "s")
