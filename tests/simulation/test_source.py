"""Rows of the simulated survey: reproducibility, validity and truth table."""

import dataclasses
import pickle

import numpy as np
import pyarrow as pa
import pytest

from mmae.core.errors import InputError
from mmae.ingest.build import build_survey
from mmae.simulation.config import SimulationConfig
from mmae.simulation.source import read_chunk, simulate_galaxy, simulation_source, target_image
from mmae.simulation.truth import truth_schema
from mmae.survey.schema import SurveySpec, check_galaxy

SPEC = SurveySpec()
CONFIG = SimulationConfig(galaxies=50, seed=11)


@pytest.fixture(scope="module")
def rows() -> list:
    return [simulate_galaxy(row, CONFIG, SPEC) for row in range(CONFIG.galaxies)]


def row_bytes(galaxy) -> bytes:
    return pickle.dumps([v.tobytes() if isinstance(v, np.ndarray) else v for v in vars(galaxy).values()])


def test_rows_are_independent_of_chunking_and_pickling():
    config = SimulationConfig(galaxies=6, seed=4)
    read = simulation_source(config, SPEC).read
    whole = read({"start": 0, "stop": 6})
    unpickled = pickle.loads(pickle.dumps(read))
    late, early = unpickled({"start": 4, "stop": 6}), unpickled({"start": 0, "stop": 4})
    assert [row_bytes(g) for g in whole.galaxies] == [row_bytes(g) for g in early.galaxies + late.galaxies]
    assert pickle.dumps(whole.truth) == pickle.dumps(early.truth + late.truth)


@pytest.mark.usefixtures("ray_cluster")
def test_files_are_identical_with_one_two_and_four_workers(tmp_path):
    source = simulation_source(SimulationConfig(galaxies=48, seed=2), SPEC)
    source = dataclasses.replace(source, chunks=[{"start": s, "stop": s + 8} for s in range(0, 48, 8)])
    surveys = [build_survey([source], tmp_path / str(n), workers=n) for n in (1, 2, 4)]
    files = [sorted(p.relative_to(s.path) for p in s.path.rglob("*.parquet")) for s in surveys]
    assert files[0] == files[1] == files[2] and len(files[0]) >= 12  # shards and truth tables
    for name in files[0]:
        assert len({(s.path / name).read_bytes() for s in surveys}) == 1
    assert len({s.content_hash for s in surveys}) == 1


def test_galaxies_differ_between_seeds_and_rows():
    one, _ = simulate_galaxy(0, SimulationConfig(seed=1), SPEC)
    two, _ = simulate_galaxy(0, SimulationConfig(seed=2), SPEC)
    assert one.redshift != two.redshift
    assert not np.array_equal(one.image_CHW, two.image_CHW)
    other_row, _ = simulate_galaxy(512, SimulationConfig(seed=1), SPEC)
    assert one.redshift != other_row.redshift


def test_chunks_cover_every_row_once():
    source = simulation_source(SimulationConfig(galaxies=1300, seed=0), SPEC)
    covered = [row for c in source.chunks for row in range(c["start"], c["stop"])]
    assert covered == list(range(1300))
    assert max(c["stop"] - c["start"] for c in source.chunks) <= 512
    assert simulation_source(SimulationConfig(galaxies=0), SPEC).chunks == []


def test_galaxies_pass_the_schema_check(rows):
    for galaxy, _ in rows:
        checked = check_galaxy(dataclasses.replace(galaxy), SPEC, "simulation")
        assert checked.rejections == []
        assert checked.galaxy.image_CHW.dtype == checked.galaxy.flux_L.dtype == np.float32
    assert len({g.object_id for g, _ in rows}) == len({g.targetid for g, _ in rows}) == len(rows)


def test_fractions_remove_spectra_and_redshifts_only():
    full = SimulationConfig(galaxies=150, seed=5, field_density=0)
    part = dataclasses.replace(full, paired_fraction=0.3, labelled_fraction=0.6)
    spec = dataclasses.replace(SPEC, image_size=8)  # fast
    rows = [(simulate_galaxy(i, full, spec)[0], simulate_galaxy(i, part, spec)[0]) for i in range(150)]
    # Binomial scatter is 0.04; 3.5 sigma.
    assert np.mean([p.flux_L is not None for _, p in rows]) == pytest.approx(0.3, abs=0.14)
    assert np.mean([p.redshift is not None for _, p in rows]) == pytest.approx(0.6, abs=0.14)
    for f, p in rows:
        assert f.flux_L is not None and f.redshift is not None
        assert np.array_equal(f.image_CHW, p.image_CHW)
        assert p.flux_L is None or np.array_equal(f.flux_L, p.flux_L)
        assert (p.targetid is None) == (p.flux_L is None and p.redshift is None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"galaxies": -1},
        {"seed": -3},
        {"galaxies": 2.5},
        {"paired_fraction": 1.2},
        {"labelled_fraction": -0.1},
        {"field_density": float("nan")},
        {"field_density": 99.0},
    ],
)
def test_invalid_options_raise(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        SimulationConfig(**wrong)


def test_truth_rows_follow_the_schema_and_the_drawn_values(rows):
    schema = truth_schema(SPEC.bands)
    table = pa.Table.from_pylist([t.row for _, t in rows], schema=schema)
    assert set(rows[0][1].row) == set(schema.names)
    for (galaxy, truth), row in zip(rows, table.to_pylist(), strict=True):
        assert row["object_id"] == galaxy.object_id
        assert row["redshift_true"] == truth.target.redshift
        assert row["i_mag"] == pytest.approx(truth.mag_C[2])
        assert (row["galaxy_type"] == "quasar") == (galaxy.morphtype == "PSF") == (row["halpha_ew"] is None)
        assert 0 < row["fibre_fraction"] <= 1
        if row["halpha_ew"] is not None:
            assert row["halpha_flux"] > 0
        if not row["catastrophic"]:
            assert galaxy.redshift == pytest.approx(row["redshift_true"], abs=0.01)


def test_flagged_redshifts_are_removed_and_reported(monkeypatch):
    from mmae.simulation import labels

    monkeypatch.setattr(labels, "FLAGGED", dict.fromkeys(labels.FLAGGED, 0.5))
    spec = dataclasses.replace(SPEC, image_size=8)
    read = read_chunk({"start": 0, "stop": 30}, SimulationConfig(galaxies=30, field_density=0), spec)
    flagged = [t["object_id"] for t in read.truth if t["zwarn"]]
    assert 5 < len(flagged) < 25
    assert [r.object_id for r in read.rejections] == flagged
    assert all("ZWARN=4" in r.reason and r.field == "redshift" for r in read.rejections)
    assert {g.object_id for g in read.galaxies if g.redshift is None} == set(flagged)


def test_flux_of_the_target_image_is_the_true_magnitude(rows):
    """On cutouts large enough for the wings of the profiles."""
    bright = [t for _, t in rows if t.mag_C[2] < 20][:12]
    assert len(bright) == 12
    for truth in bright:
        counts_C = target_image(truth, SPEC, 384).sum(axis=(1, 2))
        np.testing.assert_allclose(SPEC.zero_point - 2.5 * np.log10(counts_C), truth.mag_C, atol=0.03)


def test_noise_of_images_and_spectra(rows):
    for c, sigma in enumerate(SPEC.band_noise):
        blank = [(g.image_CHW[c] - t.image_CHW[c])[np.abs(t.image_CHW[c]) < 0.02 * sigma] for g, t in rows]
        sky = np.concatenate(blank)
        assert sky.size > 3000
        assert sky.std() == pytest.approx(sigma, rel=0.1)
    pulls = np.concatenate([((g.flux_L - t.flux_L) * np.sqrt(g.ivar_L))[g.ivar_L > 0] for g, t in rows])
    assert pulls.std() == pytest.approx(1.0, abs=0.02)


def test_field_density_changes_field_objects_only():
    alone = SimulationConfig(seed=3, field_density=0)
    crowded = dataclasses.replace(alone, field_density=4)
    pairs = [[simulate_galaxy(row, c, SPEC)[1] for c in (alone, crowded)] for row in range(6)]
    for one, many in pairs:
        assert one.row["n_neighbours"] == one.row["n_stars"] == 0 < many.row["n_neighbours"]
        assert one.target == many.target and np.array_equal(one.mag_C, many.mag_C)
        assert many.image_CHW.sum() > one.image_CHW.sum()


def test_larger_cutout_of_the_same_target():
    large = dataclasses.replace(SPEC, image_size=127)
    galaxy, truth = simulate_galaxy(1, SimulationConfig(field_density=0), large)
    _, small = simulate_galaxy(1, SimulationConfig(field_density=0), SPEC)
    assert galaxy.image_CHW.shape == (5, 127, 127)
    assert truth.image_CHW.sum() >= 0.99 * small.image_CHW.sum()
    assert truth.image_CHW.max() == pytest.approx(small.image_CHW.max(), rel=0.3)
