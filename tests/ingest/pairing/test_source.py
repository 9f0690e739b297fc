"""Surveys from raw files: every galaxy of the simulation is in the survey unchanged, also after a kill."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

from mmae.core.errors import InputError
from mmae.core.files import folder_lock, partial_path
from mmae.ingest.build import build_survey
from mmae.ingest.chunk import ROWS, read_chunk
from mmae.ingest.config import DEFAULT_SPLIT
from mmae.ingest.pairing.config import PairConfig
from mmae.ingest.pairing.source import paired_source, plan_folder
from mmae.ingest.resume import describe_build, finished_chunks, save_report
from mmae.loader.config import StreamConfig
from mmae.loader.stream import read_split
from mmae.survey.schema import SurveySpec
from mmae.survey.store import Survey, open_survey, verify_content
from tests.ingest.files import SHARED_GALAXIES, needs_shared
from tests.ingest.pairing.raw import raw_config, weighted_mean, write_raw


def rows_of(survey: Survey) -> list[dict]:
    return [row for s in survey.shards for row in pq.ParquetFile(survey.path / s.path).read().to_pylist()]


def tensor(row: dict, name: str) -> np.ndarray:
    return np.frombuffer(row[name], np.float32)


@pytest.fixture(scope="module")
def built(tmp_path_factory, ray_cluster):
    folder = tmp_path_factory.mktemp("raw")
    galaxies = write_raw(folder, paired_fraction=0.7, labelled_fraction=0.8)
    source = paired_source(raw_config(folder), folder / "s")
    return galaxies, source, build_survey([source], folder / "s"), folder


def test_every_simulated_galaxy_is_in_the_survey_unchanged(built):
    galaxies, source, survey, _ = built
    rows = {row["object_id"]: row for row in rows_of(survey)}
    assert len(rows) == len(rows_of(survey)) == len(galaxies)
    assert 0 < sum(g.flux_L is not None for g in galaxies) < len(galaxies)
    for galaxy in galaxies:
        row = rows[galaxy.object_id]
        assert (row["ra"], row["dec"]) == (galaxy.ra, galaxy.dec)
        np.testing.assert_array_equal(tensor(row, "image"), galaxy.image_CHW.ravel())
        assert row["masked_fraction"] == 0
        magnitudes = [row[f"{band}_cmodel_mag"] for band in "grizy"]
        np.testing.assert_array_equal(np.array(magnitudes, np.float32), galaxy.cmodel_mag_C.astype(np.float32))
        if galaxy.flux_L is None:
            assert row["flux"] is None and row["targetid"] is None and row["redshift"] is None
            continue
        assert row["targetid"] == galaxy.targetid and row["fiberstatus"] == 0
        flux_L, ivar_L = weighted_mean(galaxy)
        np.testing.assert_allclose(tensor(row, "flux"), flux_L, rtol=3e-7, atol=1e-7)
        np.testing.assert_allclose(tensor(row, "ivar"), ivar_L, rtol=3e-7)
        if galaxy.redshift is not None and row["zwarn"] == 0:
            assert row["redshift"] == np.float32(galaxy.redshift)
        else:
            assert row["redshift"] is None


def test_shards_are_sky_cells(built):
    _, source, survey, _ = built
    for shard in survey.shards:
        order, pixel = (int(part.rpartition("=")[2].removesuffix(".parquet")) for part in shard.path.split("/")[1::2])
        cells = [
            row["_healpix_29"] >> 2 * (29 - order)
            for row in pq.ParquetFile(survey.path / shard.path).read(["_healpix_29"]).to_pylist()
        ]
        assert set(cells) == {pixel}
        assert shard.rows <= 5
    assert f"Dir={pixel // 10000 * 10000}" in shard.path


def test_counts_of_the_sample_selection(built):
    galaxies, _, survey, folder = built
    (source,) = survey.provenance["sources"]
    flow = dict(source["flow"])
    observed = [g for g in galaxies if g.flux_L is not None]
    assert flow["catalogue rows"] == flow["objects"] == flow["objects on an image"] == len(galaxies)
    assert flow["spectra of targets"] == flow["objects with both"] == len(observed)
    assert flow["files of patches"] == 10 and flow["files rejected"] == 0
    assert source["inputs_hash"] and source["bytes"] == sum(
        p.stat().st_size for p in folder.rglob("*") if p.parent.name in ("patches", "spectra", "catalogue")
    )
    total = sum(survey.counts[split]["paired"] for split in ("train", "val", "test"))
    assert total == len(observed)


def test_the_survey_can_be_read_for_training(built):
    survey = open_survey(built[2].path)
    verify_content(survey)
    data = read_split(survey, "train", StreamConfig())
    assert data.count() == survey.rows_per_split()["train"]
    assert "Norder" not in data.schema().names


def test_the_plan_is_reused(built, tmp_path, ray_cluster, capsys):
    folder = built[3]
    first = paired_source(raw_config(folder), tmp_path / "s")
    capsys.readouterr()
    again = paired_source(raw_config(folder), tmp_path / "s")
    assert str(plan_folder(tmp_path / "s")) in capsys.readouterr().out
    assert again.chunks == first.chunks and again.provenance == first.provenance
    cell = next(Path(chunk["plan"]) for chunk in first.chunks if "plan" in chunk)
    cell.write_bytes(cell.read_bytes()[:-10])
    repaired = paired_source(raw_config(folder), tmp_path / "s")
    assert str(plan_folder(tmp_path / "s")) not in capsys.readouterr().out
    assert repaired.chunks == first.chunks
    other = paired_source(raw_config(folder, radius=0.7), tmp_path / "s")
    assert str(plan_folder(tmp_path / "s")) not in capsys.readouterr().out
    assert len(list(plan_folder(tmp_path / "s").iterdir())) == 1 and other.chunks != first.chunks


def test_killed_build_continues_cell_by_cell(built, tmp_path, ray_cluster):
    """After kill -9 there are a plan, some finished cells and partial files of others."""
    folder, out = built[3], tmp_path / "s"
    source = paired_source(raw_config(folder), out)
    unfinished = tmp_path / "s.unfinished"
    with folder_lock(unfinished, "busy"):
        finished_chunks(unfinished, describe_build([source], DEFAULT_SPLIT))
        for index, chunk in enumerate(source.chunks[:4]):
            save_report(unfinished, index, read_chunk(source, chunk, index, unfinished, DEFAULT_SPLIT).to_json())
        read_chunk(source, source.chunks[4], 4, unfinished, DEFAULT_SPLIT)  # rows without a report
    partial_path(unfinished / ROWS / "000005-train.parquet").write_bytes(b"half")
    again = paired_source(raw_config(folder), out)

    def read(chunk):
        if chunk in source.chunks[:4]:
            raise AssertionError(f"{chunk} is read again")
        return again.read(chunk)

    survey = build_survey([replace(again, read=read)], out)
    assert survey.content_hash == built[2].content_hash
    assert not list(out.rglob("*.partial"))


def test_rows_do_not_depend_on_the_match_engine_or_the_cells(built, tmp_path, ray_cluster):
    galaxies, _, survey, folder = built
    other = build_survey(
        [paired_source(raw_config(folder, engine="ray", rows_per_cell=100), tmp_path / "s")], tmp_path / "s"
    )
    assert other.recorded_split_hash == survey.recorded_split_hash
    assert sorted(rows_of(other), key=lambda r: r["object_id"]) == sorted(rows_of(survey), key=lambda r: r["object_id"])


def test_without_a_catalogue_images_are_cut_at_the_spectra(built, tmp_path, ray_cluster):
    galaxies, _, _, folder = built
    source = paired_source(raw_config(folder, catalogues=(), redshifts=()), tmp_path / "s")
    rows = rows_of(build_survey([source], tmp_path / "s"))
    by_target = {g.targetid: g for g in galaxies if g.flux_L is not None}
    assert {row["targetid"] for row in rows} == set(by_target)
    same = [np.array_equal(tensor(row, "image"), by_target[row["targetid"]].image_CHW.ravel()) for row in rows]
    # Spectra are scattered by 0.1 arcsec about a position between two pixels of 0.168: about half of the cutouts are
    # shifted by a pixel.
    assert any(same) and all(row["image"] is not None and row["redshift"] is None for row in rows)


def test_described_survey(built, tmp_path, ray_cluster):
    """Three bands, larger cutouts, other column names, unknown normalisation."""
    galaxies, _, _, folder = built
    (tmp_path / "grz.yaml").write_text(
        "name: grz\nbands: [z, g, r]\nimage_size: 70\nzero_point: 22.5\n"
        "catalogue: {object_id: OBJECT_ID, magnitudes: {r: r_cmodel_mag}}\n"
    )
    config = raw_config(
        folder,
        description=tmp_path / "grz.yaml",
        redshifts=(),
        spectra=(),
        patches=tuple(str(folder / "patches" / f"*-HSC-{band}.fits") for band in "GRZ"),
    )
    survey = build_survey([paired_source(config, tmp_path / "s")], tmp_path / "s")
    assert survey.spec.bands == ("z", "g", "r") and survey.spec.image_shape == (3, 70, 70)
    expected = np.array([SurveySpec().band_noise["grizy".index(band)] for band in "zgr"]) * 10 ** (0.4 * (22.5 - 27))
    np.testing.assert_allclose(survey.spec.band_noise, expected, rtol=0.15)
    rows = {row["object_id"]: row for row in rows_of(survey)}
    for galaxy in galaxies:
        row = rows[galaxy.object_id]
        image = tensor(row, "image").reshape(3, 70, 70)[:, 3:67, 3:67]
        np.testing.assert_allclose(image, galaxy.image_CHW[[3, 0, 1]] * 10 ** (0.4 * (22.5 - 27)), rtol=1e-6)
        assert row["r_cmodel_mag"] == np.float32(galaxy.cmodel_mag_C[1]) and row["g_cmodel_mag"] is None


@needs_shared
def test_real_coadds_with_patches_at_their_positions(tmp_path, ray_cluster):
    """Real DESI spectra and simulated patches: compares flux and ivar with an independent weighted mean."""
    from mmae.simulation.raw_files import FIELD_SIDE, SPACING, write_patch

    spec, coadds = SurveySpec(), sorted(SHARED_GALAXIES.glob("desi_coadd-*.fits"))
    side = FIELD_SIDE * SPACING
    for n, (ra, dec) in enumerate(position for path in coadds for position in positions_of(path)):
        from astropy.wcs import WCS

        wcs = WCS(naxis=2)
        wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [ra, dec], [(side + 1) / 2] * 2
        wcs.wcs.cd = np.diag([-spec.pixel_scale / 3600, spec.pixel_scale / 3600])
        pixels = np.random.default_rng(n).normal(0, 1, (5, side, side)).astype(np.float32)
        for band, patch in zip(spec.bands, pixels, strict=True):
            write_patch(tmp_path / f"patch-{n:03d}-{band}.fits", band, patch, wcs, spec)
    config = PairConfig(
        spectra=(str(SHARED_GALAXIES / "desi_coadd-*.fits"),),
        patches=(str(tmp_path / "patch-*"),),
        redshifts=(str(SHARED_GALAXIES / "desi_redrock-*"), str(SHARED_GALAXIES / "desi_qso_cat*")),
    )
    survey = build_survey([paired_source(config, tmp_path / "s")], tmp_path / "s")
    rows = rows_of(survey)
    assert len(rows) >= 2 and all(row["image"] is not None for row in rows)
    assert sum(row["redshift"] is not None for row in rows) >= 2
    checked = 0
    for path in coadds:
        with fits.open(path) as file:
            for i, targetid in enumerate(file["FIBERMAP"].data["TARGETID"]):
                row = next((r for r in rows if r["targetid"] == targetid), None)
                if row is None:
                    continue
                weight, product = np.zeros(7781), np.zeros(7781)
                for arm in "BRZ":
                    first = round((file[f"{arm}_WAVELENGTH"].data[0] - 3600) / 0.8)
                    good = file[f"{arm}_IVAR"].data[i].astype(float) * (file[f"{arm}_MASK"].data[i] == 0)
                    weight[first : first + len(good)] += good
                    product[first : first + len(good)] += good * file[f"{arm}_FLUX"].data[i]
                mean = np.divide(product, weight, out=np.zeros(7781), where=weight > 0)
                np.testing.assert_allclose(tensor(row, "flux"), mean, rtol=2e-7, atol=1e-9)
                np.testing.assert_allclose(tensor(row, "ivar"), weight, rtol=2e-7)
                checked += 1
    assert checked >= 2


def positions_of(path: Path) -> list[tuple[float, float]]:
    with fits.open(path) as file:
        table = file["FIBERMAP"].data
        return [(float(ra), float(dec)) for ra, dec in zip(table["TARGET_RA"], table["TARGET_DEC"], strict=True)]


def test_invalid_input_is_refused(tmp_path, ray_cluster):
    with pytest.raises(InputError, match="--pair.spectra"):
        paired_source(PairConfig(redshifts=("x.fits",)), tmp_path / "s")
    with pytest.raises(InputError, match="--pair.catalogues .*--pair.spectra"):
        paired_source(PairConfig(patches=("x.fits",)), tmp_path / "s")
    with pytest.raises(InputError, match=r"no-such\*\.fits"):
        paired_source(PairConfig(spectra=(str(tmp_path / "no-such*.fits"),)), tmp_path / "s")
    (tmp_path / "coadd-1.fits").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="1 files of spectra .*coadd-1.fits"):
        paired_source(PairConfig(spectra=(str(tmp_path / "coadd-1.fits"),)), tmp_path / "s")
