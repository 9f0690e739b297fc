"""Damaged and confused files of known sources: each gives the right value or one clear line."""

from __future__ import annotations

import numpy as np
import pytest

from mmae.core.errors import InputError
from mmae.survey.schema import SurveySpec
from tests.ingest.files import read_all
from tests.ingest.layouts.test_parquet import desi_table, write_hats
from tests.ingest.sources.mmu import (
    SDSS_WAVE,
    desi_columns,
    hsc_columns,
    legacy_columns,
    partition,
    provabgs_columns,
    sdss_columns,
    write_hdf5,
)
from tests.ingest.sources.read import galaxies_of, opened, rejected, write_spec

GRID = SurveySpec().wavelength_L()


def refusal(name, *inputs, **options) -> str:
    with pytest.raises(InputError) as caught:
        opened(name, *inputs, **options)
    return str(caught.value)


def own_description(tmp_path, name, old, new):
    from mmae.ingest.sources.description import FOLDER

    text = (FOLDER / f"{name}.yaml").read_text()
    assert old in text
    path = tmp_path / "own.yaml"
    path.write_text(text.replace(old, new))
    return str(path)


def test_inverted_warning(tmp_path):
    columns = desi_columns(30)
    write_hats(tmp_path / "desi", desi_table(columns, ZWARN=columns["ZWARN"] != 0))
    assert "zwarn_true_is to bad" in refusal("mmu-desi-hats", tmp_path / "desi")
    own = own_description(tmp_path, "mmu-desi-hats", "zwarn_true_is: good", "zwarn_true_is: bad")
    assert all(g.redshift is not None for g in galaxies_of(own, tmp_path / "desi").values())


def test_mask_of_spectra_of_the_other_sense(tmp_path):
    partition(tmp_path, desi_columns(3, spectrum_mask=np.ones((3, 7781), bool)))
    assert "spectrum.mask_true_is to good" in refusal("mmu-desi", tmp_path)
    own = own_description(tmp_path, "mmu-desi", "mask_true_is: bad", "mask_true_is: good")
    assert all((g.ivar_L == 2).all() for g in galaxies_of(own, tmp_path / "edr_sv3").values())


def test_mask_of_images_of_the_other_sense(tmp_path):
    partition(tmp_path, hsc_columns(2, image_mask=np.zeros((2, 5, 160, 160), bool)))
    assert "image.mask_true_is to bad" in refusal("mmu-hsc", tmp_path)


def test_padded_wavelengths(tmp_path):
    columns = sdss_columns(2, padded=500)
    columns["spectrum_flux"][:] = 3
    partition(tmp_path, columns)
    for galaxy in galaxies_of("mmu-sdss", tmp_path).values():
        assert set(np.round(galaxy.flux_L[galaxy.ivar_L > 0], 5)) == {3}
        assert not galaxy.ivar_L[GRID > SDSS_WAVE[-1] + 2].any()


def test_padding_with_weight_is_rejected(tmp_path):
    columns = sdss_columns(2)
    columns["spectrum_ivar"][1, -1], columns["spectrum_mask"][1, -1] = 2, False
    partition(tmp_path, columns)
    first, second = galaxies_of("mmu-sdss", tmp_path).values()
    assert first.flux_L is not None and second.flux_L is None
    assert "wavelength -1 A" in rejected("mmu-sdss", tmp_path)[0].reason


def test_negative_wavelengths_in_the_middle(tmp_path):
    columns = desi_columns(2)
    columns["spectrum_lambda"][0, 3000:3003] *= -1
    partition(tmp_path, columns)
    first, second = galaxies_of("mmu-desi", tmp_path).values()
    assert first.flux_L is None and second.flux_L is not None
    (rejection,) = rejected("mmu-desi", tmp_path)
    assert rejection.field == "spectrum" and "3 samples" in rejection.reason


def test_wavelengths_out_of_order(tmp_path):
    columns = desi_columns(2)
    columns["spectrum_lambda"][0] = columns["spectrum_lambda"][0][::-1]
    partition(tmp_path, columns)
    assert rejected("mmu-desi", tmp_path)[0].reason == "its wavelengths do not increase"


def test_big_endian(tmp_path):
    columns = desi_columns(3)
    swapped = {k: v.astype(v.dtype.newbyteorder(">")) for k, v in columns.items()}
    partition(tmp_path / "big", swapped)
    partition(tmp_path / "little", columns)
    big, little = galaxies_of("mmu-desi", tmp_path / "big"), galaxies_of("mmu-desi", tmp_path / "little")
    assert list(big) == list(little)
    for name in big:
        np.testing.assert_array_equal(big[name].flux_L, little[name].flux_L)
        assert big[name].flux_L.dtype == np.float32 and big[name].redshift == little[name].redshift


@pytest.mark.parametrize("written", [b"  4000", "b'  4000'", b"4000\0\0", "4000"])
def test_bytes_as_text(tmp_path, written):
    partition(tmp_path, sdss_columns(1, object_id=np.array([written], object if isinstance(written, str) else "S12")))
    assert list(galaxies_of("mmu-sdss", tmp_path)) == ["4000"]


def test_empty_partition(tmp_path):
    partition(tmp_path, desi_columns(2))
    empty = {name: values[:0] for name, values in desi_columns(1).items()}
    write_hdf5(tmp_path / "edr_sv3" / "healpix=9" / "001-of-001.hdf5", empty)
    assert len(galaxies_of("mmu-desi", tmp_path)) == 2
    assert "no rows" in refusal("mmu-desi", tmp_path / "edr_sv3" / "healpix=9")


def test_margin_given_as_the_catalogue(tmp_path):
    write_hats(tmp_path / "desi_10arcs", desi_table(desi_columns(2)), kind="margin")
    assert "a HATS margin without catalogue rows" in refusal("mmu-desi-hats", tmp_path / "desi_10arcs")


def test_partitions_of_another_nside(tmp_path):
    """Positions count, not the names of folders."""
    columns = desi_columns(2, healpix=np.array([123456, 123456]))
    write_hdf5(tmp_path / "healpix=123456" / "001-of-001.hdf5", columns)
    assert [g.ra for g in galaxies_of("mmu-desi", tmp_path).values()] == list(columns["ra"])


def test_one_object_in_two_partitions(tmp_path):
    columns = desi_columns(3)
    write_hdf5(tmp_path / "healpix=1" / "001-of-001.hdf5", columns)
    write_hdf5(tmp_path / "healpix=2" / "001-of-001.hdf5", {k: v[2:] for k, v in columns.items()})
    galaxies = galaxies_of("mmu-desi", tmp_path)
    assert list(galaxies) == [str(i) for i in columns["object_id"]]
    (rejection,) = rejected("mmu-desi", tmp_path)
    assert "healpix=2" in rejection.where and "healpix=1/001-of-001.hdf5, row 2, which is kept" in rejection.reason


def test_one_id_of_two_objects(tmp_path):
    for cell, dec in ((1, 0.0), (2, 30.0)):
        write_hdf5(tmp_path / f"healpix={cell}" / "001-of-001.hdf5", desi_columns(2, dec=np.full(2, dec)))
    galaxies = galaxies_of("mmu-desi", tmp_path)
    assert len(galaxies) == 4 and {name.partition("/")[0] for name in galaxies} == {"healpix=1", "healpix=2"}


def test_bands_in_another_order(tmp_path):
    write_hdf5(tmp_path / "healpix=1" / "001-of-001.hdf5", hsc_columns(1, 0))
    write_hdf5(tmp_path / "healpix=2" / "001-of-001.hdf5", hsc_columns(1, 5, bands="yrgiz"))
    for galaxy in galaxies_of("mmu-hsc", tmp_path).values():
        magnitudes = 27 - 2.5 * np.log10(galaxy.image_CHW.sum(axis=(1, 2), dtype=float))
        np.testing.assert_allclose(magnitudes, [20, 20.5, 21, 21.5, 22], atol=0.1)


def test_files_with_fewer_bands(tmp_path):
    write_hdf5(tmp_path / "healpix=1" / "001-of-001.hdf5", hsc_columns(2, bands="gri"))
    for galaxy in galaxies_of("mmu-hsc", tmp_path).values():
        assert np.isfinite(galaxy.image_CHW[:3]).all() and np.isnan(galaxy.image_CHW[3:]).all()


def test_nan_pixels_with_a_good_mask(tmp_path):
    images, spectra = hsc_columns(1), desi_columns(1)
    images["image_array"][0, 1, 80, 80] = np.nan
    spectra["spectrum_flux"][0, 50] = np.nan
    (galaxy,) = galaxies_of("mmu-hsc", partition(tmp_path / "hsc", images)).values()
    assert np.isnan(galaxy.image_CHW[1, 32, 32]) and np.isnan(galaxy.image_CHW).sum() == 1
    (galaxy,) = galaxies_of("mmu-desi", partition(tmp_path / "desi", spectra)).values()
    assert galaxy.ivar_L[50] == 0 and np.isfinite(galaxy.flux_L).all() and (galaxy.ivar_L == 0).sum() == 1


def test_wavelengths_in_air(tmp_path):
    loglam = np.float32(3.58 + 1e-4 * np.arange(3800))
    flux = np.zeros(3800)
    flux[np.argmin(abs(10 ** np.float64(loglam) - 6562.819))] = 100.0
    for vacuum, expected in ((True, 6562.8), (False, 6564.6), (None, 6562.8)):
        path = write_spec(tmp_path / f"spec-1-2-{vacuum}.fits", loglam, flux, np.ones(3800), vacuum=vacuum)
        (galaxy,) = galaxies_of("sdss-spec", path).values()
        assert (galaxy.flux_L * GRID).sum() / galaxy.flux_L.sum() == pytest.approx(expected, abs=0.8)
    own = own_description(tmp_path, "sdss-spec", "log_wavelength: true", "log_wavelength: true\n  medium: air")
    (galaxy,) = galaxies_of(own, tmp_path / "spec-1-2-True.fits").values()
    assert (galaxy.flux_L * GRID).sum() / galaxy.flux_L.sum() == pytest.approx(6564.6, abs=0.8)


def test_nanomaggies_given_as_counts(tmp_path):
    partition(tmp_path, legacy_columns(30))
    own = own_description(tmp_path, "mmu-legacy", "  zero_point: 22.5\nsurvey:", "  zero_point: 27.0\nsurvey:")
    message = refusal(own, tmp_path / "edr_sv3")
    assert "4.5 mag fainter" in message and "probably 22.5" in message


def test_truncated_hdf5(tmp_path):
    good = partition(tmp_path, desi_columns(2))
    bad = write_hdf5(tmp_path / "edr_sv3" / "healpix=9" / "001-of-001.hdf5", desi_columns(3, 10))
    bad.write_bytes(bad.read_bytes()[:20_000])
    galaxies, _, rejections = read_all(opened("mmu-desi", tmp_path))
    assert len(galaxies) == 2
    assert [(r.field, r.where) for r in rejections] == [("file", str(bad))] and "truncated" in rejections[0].reason
    good.write_bytes(good.read_bytes()[:20_000])
    message = refusal("mmu-desi", tmp_path)
    assert "truncated" in message and str(bad.parent.parent) in message and "\n" not in message


def test_columns_of_different_length(tmp_path):
    write_hdf5(tmp_path / "healpix=1" / "001-of-001.hdf5", desi_columns(3) | {"Z": np.zeros(2)})
    assert "dataset Z has 2 rows" in refusal("mmu-desi", tmp_path)


def test_images_smaller_than_the_survey(tmp_path):
    columns = hsc_columns(2)
    small = {k: v[..., 60:100, 60:100] for k, v in columns.items() if k in ("image_array", "image_ivar", "image_mask")}
    partition(tmp_path, columns | small)
    assert all("--grid.image-size 40" in r.reason for r in rejected("mmu-hsc", tmp_path))


def test_an_unknown_layout_is_answered_by_what_was_found(tmp_path):
    path = write_hdf5(tmp_path / "x.hdf5", hsc_columns(2))
    message = refusal("mmu-desi", path)
    assert "no column spectrum_flux" in message and "--source mmu-hsc" in message
    assert "image_array" in message and "(2, 5, 160, 160)" in message
    table = write_hats(tmp_path / "desi", desi_table(desi_columns(2)))
    assert "--source mmu-desi-hats" in refusal("mmu-desi", table)
    other = write_hdf5(tmp_path / "y.hdf5", {"object_id": np.arange(3), "spectrum_flux": np.zeros((3, 5), "f4")})
    assert "nearest known source" in refusal("mmu-hsc", other)
    assert "No known source" in refusal("mmu-hsc", write_hdf5(tmp_path / "z.hdf5", {"wave_height": np.zeros(3)}))


def test_pictures_are_refused(tmp_path):
    (tmp_path / "cutout.jpg").write_bytes(b"\xff\xd8\xff\xe0" + b"0" * 100)
    assert "JPEG picture" in refusal("mmu-legacy", tmp_path / "cutout.jpg")


def test_no_such_source(tmp_path):
    assert "did you mean mmu-desi" in refusal("mmu_desi", tmp_path)


def test_labels_are_missing_where_they_are_missing(tmp_path):
    columns = provabgs_columns(2)
    columns["PROVABGS_LOGMSTAR_BF"][0] = -99
    first, second = galaxies_of("mmu-provabgs", write_hdf5(tmp_path / "a.h5", columns)).values()
    assert "log_stellar_mass" not in first.extra and "log_stellar_mass" in second.extra
