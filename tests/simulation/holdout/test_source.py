"""Rows of the hold-out survey: independent of the main simulation, same format, reproducible."""

import pickle
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from mmae.cli import parse
from mmae.core.errors import InputError
from mmae.ingest import job
from mmae.simulation import camera, seds
from mmae.simulation.config import SimulationConfig, Variety
from mmae.simulation.holdout import source
from mmae.simulation.source import SKY_PATCH, simulate_galaxy
from mmae.simulation.truth import truth_schema
from mmae.survey.schema import SurveySpec, check_galaxy

SPEC = SurveySpec()
CONFIG = SimulationConfig(galaxies=12, seed=2)


@pytest.fixture(scope="module")
def rows() -> list:
    return [source.simulate_row(row, CONFIG, SPEC) for row in range(CONFIG.galaxies)]


def test_rows_do_not_depend_on_chunks():
    read = pickle.loads(pickle.dumps(source.holdout_source(CONFIG, SPEC))).read
    whole, late = read({"start": 0, "stop": 4}), read({"start": 2, "stop": 4})
    for a, b in zip(whole.galaxies[2:], late.galaxies, strict=True):
        assert np.array_equal(a.image_CHW, b.image_CHW) and np.array_equal(a.flux_L, b.flux_L)
    assert whole.truth[2:] == late.truth


def test_neither_templates_nor_images_of_the_main_simulation_are_used(monkeypatch):
    def forbidden(*_, **__):
        raise AssertionError("used by the hold-out simulation")

    for module, name in ((seds, "load_templates"), (seds, "stellar_sed"), (camera, "render"), (camera, "add_noise")):
        monkeypatch.setattr(module, name, forbidden)
    source.simulate_row(1, CONFIG, SPEC)


def test_rows_have_the_format_of_a_simulated_survey(rows):
    schema = truth_schema(SPEC.bands)
    table = pa.Table.from_pylist([t for _, t in rows], schema=schema)
    for (galaxy, truth), row in zip(rows, table.to_pylist(), strict=True):
        assert set(truth) == set(schema.names)
        assert check_galaxy(replace(galaxy), SPEC, "row").rejections == []
        assert galaxy.image_CHW.dtype == galaxy.flux_L.dtype == np.float32
        assert row["target_class"] in ("BGS", "LRG", "ELG") and 0 < row["fibre_fraction"] <= 1
        if not row["catastrophic"]:
            assert galaxy.redshift == pytest.approx(row["redshift_true"], abs=0.01)
        assert np.nanmedian(galaxy.cmodel_mag_C - [row[f"{b}_mag"] for b in SPEC.bands]) == pytest.approx(0, abs=0.6)
    provenance = source.holdout_source(CONFIG, SPEC).provenance
    assert provenance["source"] == "holdout" and provenance["seed"] == 2


def test_no_row_can_be_taken_for_one_of_the_main_simulation(rows):
    (ra_low, ra_high), _ = SKY_PATCH
    other, _ = simulate_galaxy(0, CONFIG, SPEC)
    for galaxy, _ in rows:
        assert not ra_low - 1 < galaxy.ra < ra_high + 1
        assert galaxy.targetid > 10**18 > other.targetid and galaxy.targetid < 2**63


def test_fractions_remove_spectra_and_redshifts():
    config = replace(CONFIG, paired_fraction=0.0, labelled_fraction=0.0)
    galaxy, _ = source.simulate_row(0, config, SPEC)
    full, _ = source.simulate_row(0, CONFIG, SPEC)
    assert galaxy.flux_L is None and galaxy.redshift is None and galaxy.targetid is None
    assert full.flux_L is not None and full.redshift is not None
    assert np.array_equal(galaxy.image_CHW, full.image_CHW)


def test_the_build_job_has_the_source():
    config = parse(job.BuildConfig, "", argv=["--out", "s", "--source", "holdout", "--galaxies", "7"])
    made = job._source("holdout", config)
    assert made.name == "holdout" and sum(c["stop"] - c["start"] for c in made.chunks) == 7
    with pytest.raises(InputError, match="variety"):
        source.holdout_source(SimulationConfig(variety=Variety(scale=1.0)), SPEC)
