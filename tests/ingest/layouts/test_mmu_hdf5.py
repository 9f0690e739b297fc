"""The HDF5 files of the Multimodal Universe: values that arrive, against what was written."""

from __future__ import annotations

import fsspec
import h5py
import numpy as np
import pytest

from mmae.ingest.layouts import hdf5
from mmae.ingest.readers.observed import crop_or_pad
from mmae.ingest.sources.grid import GridConfig
from mmae.survey.schema import SurveySpec
from tests.ingest.files import read_all
from tests.ingest.sources.mmu import (
    SDSS_WAVE,
    desi_columns,
    hsc_columns,
    legacy_columns,
    partition,
    provabgs_columns,
    sdss_columns,
    ssl_legacy_columns,
    write_hdf5,
)
from tests.ingest.sources.read import galaxies_of, opened, rejected

GRID = SurveySpec().wavelength_L()


def test_desi_spectra_are_copied(tmp_path):
    columns = desi_columns(5)
    columns["spectrum_mask"][1, 100:110] = True
    columns["ZWARN"][2] = 4
    path = partition(tmp_path / "desi", columns)
    galaxies = galaxies_of("mmu-desi", tmp_path / "desi")
    assert list(galaxies) == [str(i) for i in columns["object_id"]]
    for i, galaxy in enumerate(galaxies.values()):
        bad = columns["spectrum_mask"][i]
        np.testing.assert_array_equal(galaxy.ivar_L, np.where(bad, 0, columns["spectrum_ivar"][i]))
        np.testing.assert_array_equal(galaxy.flux_L[~bad], columns["spectrum_flux"][i][~bad])
        assert (galaxy.ra, galaxy.dec, galaxy.targetid) == (
            columns["ra"][i],
            columns["dec"][i],
            columns["object_id"][i],
        )
        assert galaxy.redshift == (None if i == 2 else columns["Z"][i]) and galaxy.zwarn == columns["ZWARN"][i]
        # 10 and 20 nanomaggies: 20.0 and 19.247 mag; -99: none.
        np.testing.assert_allclose(galaxy.cmodel_mag_C, [20, 19.24742, np.nan, np.nan, np.nan], atol=1e-5)
        assert galaxy.extra["line_spread_sigma"] == pytest.approx(0.9 * 0.8, rel=1e-3)
    assert [(r.field, r.where) for r in rejected("mmu-desi", path)] == [("redshift", f"{path}, row 2")]


def test_sdss_spectra_are_resampled_without_their_padding(tmp_path):
    columns = sdss_columns(4)
    columns["spectrum_flux"][:] = np.arange(1, 5)[:, None]
    partition(tmp_path / "sdss", columns, "boss")
    galaxies = galaxies_of("mmu-sdss", tmp_path / "sdss")
    assert list(galaxies) == ["4000", "4001", "4002", "4003"]  # bytes with leading blanks
    inside = (GRID > SDSS_WAVE[1]) & (GRID < SDSS_WAVE[-2])
    outside = (GRID < SDSS_WAVE[0] - 1) | (GRID > SDSS_WAVE[-1] + 2)
    assert inside.any() and outside.any()
    for i, galaxy in enumerate(galaxies.values()):
        np.testing.assert_allclose(galaxy.flux_L[inside], i + 1, rtol=1e-6)
        assert (galaxy.ivar_L[inside] >= 2 * (1 - 1e-5)).all() and not galaxy.ivar_L[outside].any()
        assert galaxy.redshift == columns["Z"][i]


def test_hsc_star_has_its_magnitude_and_missing_pixels_are_missing(tmp_path):
    columns = hsc_columns(3)
    columns["image_mask"][0, 2, 80:84, 60:70] = False
    columns["image_ivar"][0, 3, 50:52, 50:52] = 0
    columns["image_array"][0, 4, 90, 90] = np.nan  # good by its mask
    partition(tmp_path / "hsc", columns, "pdr3_dud_22.5")
    source = opened("mmu-hsc", tmp_path / "hsc")
    assert source.spec.band_noise == SurveySpec().band_noise  # 64 pixels of 0.168": as GalaxiesML
    galaxies = list(galaxies_of("mmu-hsc", tmp_path / "hsc").values())
    crop = slice(48, 112)
    expected = columns["image_array"][0][:, crop, crop].copy()
    expected[2, 80 - 48 : 84 - 48, 60 - 48 : 70 - 48] = np.nan
    expected[3, 2:4, 2:4] = np.nan
    np.testing.assert_array_equal(galaxies[0].image_CHW, expected)
    assert galaxies[0].masked_fraction == pytest.approx(40 / 64**2)
    for galaxy in galaxies[1:]:
        magnitudes = 27 - 2.5 * np.log10(galaxy.image_CHW.sum(axis=(1, 2), dtype=float))
        np.testing.assert_allclose(magnitudes, [20, 20.5, 21, 21.5, 22], atol=0.1)
        np.testing.assert_allclose(galaxy.cmodel_mag_C, [20, 20.5, 21, 21.5, 22])
        assert galaxy.redshift is None and galaxy.flux_L is None


def test_legacy_star_has_its_magnitude_in_nanomaggies(tmp_path):
    columns = legacy_columns(4)
    columns["image_mask"][1, :80] = False
    partition(tmp_path / "legacy", columns, "dr10_south_21")
    source = opened("mmu-legacy", tmp_path / "legacy")
    assert source.spec.bands == ("g", "r", "i", "z") and source.spec.zero_point == 22.5
    assert np.isfinite(source.spec.band_noise).all()
    np.testing.assert_allclose(source.spec.band_noise, 0.003, rtol=0.1)
    galaxies = galaxies_of("mmu-legacy", tmp_path / "legacy")
    first, second, *_ = galaxies.values()
    assert list(galaxies)[0] == "1500p020-0" and first.morphtype == "REX"
    np.testing.assert_allclose(22.5 - 2.5 * np.log10(first.image_CHW.sum(axis=(1, 2))), 19, atol=0.05)
    np.testing.assert_allclose(first.cmodel_mag_C, 19, atol=1e-4)
    assert np.isnan(second.image_CHW[:, :32]).all() and np.isfinite(second.image_CHW[:, 32:]).all()


def test_ssl_legacy_has_redshifts_and_no_masks(tmp_path):
    for folder in ("north", "south"):
        columns = ssl_legacy_columns(4)
        columns["dec"] = columns["dec"] + (40 if folder == "north" else 0)
        partition(tmp_path, columns, folder)
    galaxies = galaxies_of("mmu-ssl-legacy", tmp_path)
    assert len(galaxies) == 8 and all("/" in name for name in galaxies)  # one number in north and south
    assert [g.redshift for g in galaxies.values()] == [None, 0.25, None, 0.25] * 2
    for galaxy in galaxies.values():
        assert galaxy.image_CHW.shape == (3, 64, 64)
        np.testing.assert_allclose(22.5 - 2.5 * np.log10(galaxy.image_CHW.sum(axis=(1, 2))), 19, atol=0.05)
        np.testing.assert_allclose(galaxy.cmodel_mag_C, 19, atol=1e-4)


def test_provabgs_properties_are_labels(tmp_path):
    write_hdf5(tmp_path / "healpix=1" / "001-of-001.h5", provabgs_columns(3))
    source = opened("mmu-provabgs", tmp_path)
    galaxies = read_all(source)[0]
    assert dict(source.spec.extra_columns).keys() == galaxies[0].extra.keys()
    np.testing.assert_allclose([g.extra["log_stellar_mass"] for g in galaxies], [9, 10, 11])
    np.testing.assert_allclose([g.extra["star_formation_rate"] for g in galaxies], [0.1, 2.55, 5])
    assert [g.targetid for g in galaxies] == [int(g.object_id) for g in galaxies]


def test_other_pixels_bands_and_sizes_by_option(tmp_path):
    partition(tmp_path, hsc_columns(3))
    whole = opened("mmu-hsc", tmp_path, grid=GridConfig(image_size=160))
    assert whole.spec.image_shape == (5, 160, 160)
    wide = opened("mmu-hsc", tmp_path, grid=GridConfig(pixel_scale=0.336, image_size=40, bands=("r", "i")))
    assert wide.spec.image_shape == (2, 40, 40) and wide.spec.band_noise != SurveySpec().band_noise
    galaxy = read_all(wide)[0][1]
    magnitudes = 27 - 2.5 * np.log10(galaxy.image_CHW.sum(axis=(1, 2), dtype=float))
    np.testing.assert_allclose(magnitudes, [20.5, 21], atol=0.1)
    # Counts per pixel: four pixels of 0.168" in one of 0.336", so noise of 0.03 becomes 0.06.
    np.testing.assert_allclose(wide.spec.band_noise, 0.06, rtol=0.1)


def test_another_wavelength_grid_by_option(tmp_path):
    partition(tmp_path, desi_columns(2))
    grid = GridConfig(wavelength_start=4000.0, wavelength_step=2.4, n_wavelengths=1000)
    galaxies, _, _ = read_all(opened("mmu-desi", tmp_path, grid=grid))
    assert galaxies[0].flux_L.shape == (1000,)
    np.testing.assert_allclose(galaxies[0].ivar_L, 3 * 2.0, rtol=1e-3)  # means of three samples


@pytest.mark.parametrize("rows", [[3, 4, 5], [0, 2, 4], [1, 30, 59]])
@pytest.mark.parametrize("size", [4, 5, 9, 20])
def test_only_the_centre_of_images_is_read(tmp_path, rows, size):
    rng = np.random.default_rng(0)
    images = {"image": rng.normal(size=(60, 2, 9, 12)), "mask": rng.normal(size=(60, 9, 9))}
    columns = images | {"other": np.ones((60, 9, 9))}
    path = str(write_hdf5(tmp_path / "a.hdf5", columns))
    (piece,) = hdf5.read(path, list(columns), np.array(rows), {"image": size, "mask": size})
    for name in images:
        whole = crop_or_pad(columns[name][rows], size)
        np.testing.assert_array_equal(crop_or_pad(piece.values[name], size), whole)
        assert piece.values[name].shape[-2:] == tuple(min(size, n) for n in columns[name].shape[-2:])
    assert piece.values["other"].shape == (3, 9, 9)


def test_chunks_may_span_files(tmp_path):
    for first in (0, 5, 10):
        columns = desi_columns(5, first)
        write_hdf5(tmp_path / f"healpix={first}" / "001-of-001.hdf5", columns)
    source = opened("mmu-desi", tmp_path, chunk_rows=7)
    assert [sum(len(p["rows"]) for p in c["parts"]) for c in source.chunks] == [7, 7, 1]
    ids = [g.object_id for g in read_all(source)[0]]
    assert len(set(ids)) == 15


def test_files_on_another_file_system(tmp_path):
    columns = desi_columns(2)
    path = partition(tmp_path, columns)
    with fsspec.open("memory://mmu/edr_sv3/healpix=1/001-of-001.hdf5", "wb") as file:
        file.write(path.read_bytes())
    galaxies = galaxies_of("mmu-desi", "memory://mmu/**/*.hdf5")
    np.testing.assert_array_equal([g.flux_L for g in galaxies.values()], columns["spectrum_flux"])


@pytest.mark.parametrize("centre", [None, 4])
@pytest.mark.parametrize("rows", [[0], [3, 4, 5], [0, 1, 7, 8, 39], [0, 13, 39]])
def test_rows_far_apart_and_close_to_each_other(tmp_path, rows, centre):
    image = np.random.default_rng(0).normal(size=(40, 2, 130, 130)).astype(np.float32)  # 135 kB each
    with h5py.File(tmp_path / "f.hdf5", "w") as file:
        file["image"], file["number"] = image, np.arange(40)
        wanted = image if centre is None else image[..., 63:67, 63:67]
        np.testing.assert_array_equal(hdf5.some_rows(file["image"], np.array(rows), centre), wanted[rows])
        np.testing.assert_array_equal(hdf5.some_rows(file["number"], np.array(rows)), rows)
