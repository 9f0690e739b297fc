"""The GalaxiesML-Spectra reader, on synthetic files of that layout."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from mmae.core.errors import InputError
from mmae.ingest.readers.galaxiesml import galaxiesml_source
from mmae.survey.schema import to_table
from tests.ingest.files import (
    BANDS,
    GALAXIESML_WAVE_L,
    corrupt_hdf5_row,
    read_all,
    read_checked,
    synthetic_images,
    write_galaxiesml,
)


def test_every_field_is_read_from_its_dataset(tmp_path):
    path = write_galaxiesml(tmp_path / "a.hdf5", n=5)
    source = galaxiesml_source(path, chunk_rows=2)
    galaxies, where, rejections = read_all(source)
    assert not rejections
    assert [(c["start"], c["stop"]) for c in source.chunks] == [(0, 2), (2, 4), (4, 5)]
    with h5py.File(path) as file:
        for i, galaxy in enumerate(galaxies):
            assert galaxy.object_id == str(42_000_000_000_000_000 + i)
            assert galaxy.targetid == 39_633_000_000_000_000 + i
            assert galaxy.group_id == str(galaxy.targetid)
            assert (galaxy.ra, galaxy.dec) == (None, None)
            assert galaxy.redshift == pytest.approx(0.1 + 0.35 * i)
            assert galaxy.redshift_err == pytest.approx(1e-5)
            assert galaxy.morphtype == ["PSF", "REX", "EXP", "DEV", "SER"][i]
            assert galaxy.cmodel_mag_C.tolist() == [20, 21, 22, 23, 24]
            np.testing.assert_array_equal(galaxy.image_CHW, file["image"][i])
            # 7783 samples in the file; the first and the last are removed
            np.testing.assert_array_equal(galaxy.flux_L, file["spectrum/flux"][i, 1:-1])
            np.testing.assert_array_equal(galaxy.ivar_L, file["spectrum/ivar"][i, 1:-1])
            assert where[i] == f"{path}, row {i}"
    assert to_table(galaxies, ["train"] * 5, source.spec).num_rows == 5


def test_bytes_ids_positions_and_a_127_pixel_file(tmp_path):
    path = write_galaxiesml(
        tmp_path / "a.hdf5",
        n=2,
        size=127,
        object_id=np.array([b"one ", b"two"]),
        HSC_metadata__ra=np.array([150.0, np.nan]),
        HSC_metadata__dec=np.array([2.0, np.nan]),
    )
    source = galaxiesml_source(path)
    galaxies, _ = read_checked(source)
    assert source.spec.image_size == 127
    assert galaxies[0].image_CHW.shape == (5, 127, 127)
    assert [g.object_id for g in galaxies] == ["one", "two"]
    assert [(g.ra, g.dec) for g in galaxies] == [(150.0, 2.0), (None, None)]


@pytest.mark.parametrize("wave", [GALAXIESML_WAVE_L, GALAXIESML_WAVE_L.astype(np.float32)])
def test_one_wave_for_all_rows(tmp_path, wave):
    galaxies, rejections = read_checked(galaxiesml_source(write_galaxiesml(tmp_path / "a.hdf5", n=2, wave=wave)))
    assert len(galaxies) == 2 and not rejections
    assert galaxies[0].flux_L.shape == (7781,)


def test_absent_optional_datasets_are_recorded(tmp_path):
    path = write_galaxiesml(
        tmp_path / "a.hdf5", n=2, targetid=None, DESI_fibermap__MORPHTYPE=None, HSC_metadata__y_cmodel_mag=None
    )
    source = galaxiesml_source(path)
    galaxies, rejections = read_checked(source)
    assert not rejections
    assert galaxies[0].targetid is None and galaxies[0].morphtype is None
    assert galaxies[0].group_id is None
    assert galaxies[0].cmodel_mag_C[:4].tolist() == [20, 21, 22, 23]
    assert np.isnan(galaxies[0].cmodel_mag_C[4])
    assert source.provenance["absent_datasets"] == ["DESI_fibermap/MORPHTYPE", "HSC_metadata/y_cmodel_mag", "targetid"]


def test_nan_redshift_is_none_and_a_negative_redshift_is_rejected(tmp_path):
    path = write_galaxiesml(tmp_path / "a.hdf5", n=3, DESI_fibermap__DESI_redshift=np.array([0.5, np.nan, -0.2]))
    galaxies, rejections = read_checked(galaxiesml_source(path))
    assert [g.redshift for g in galaxies] == [0.5, None, None]
    assert [(r.object_id[-1], r.field) for r in rejections] == [("2", "redshift")]


def test_bad_images_and_spectra_are_rejected_separately(tmp_path):
    images = synthetic_images(4, 64)
    images[0, :, :40] = np.nan
    images[3, 2, 10, 10] = np.nan
    images[3, 4] = 0.0  # a band that was not observed
    ivar = np.full((4, 7783), 10.0, np.float32)
    ivar[1] = 0
    ivar[2, 1:-1] = 0  # only the two removed samples are good
    path = write_galaxiesml(tmp_path / "a.hdf5", n=4, image=images, spectrum__ivar=ivar)
    galaxies, rejections = read_checked(galaxiesml_source(path))
    assert len(galaxies) == 4
    assert [g.image_CHW is None for g in galaxies] == [True, False, False, False]
    assert [g.flux_L is None for g in galaxies] == [False, True, True, False]
    assert [r.field for r in rejections] == ["image", "spectrum", "spectrum"] and "62%" in rejections[0].reason
    images[3, 4] = np.nan
    np.testing.assert_array_equal(galaxies[3].image_CHW, images[3])
    assert [g.masked_fraction for g in galaxies] == [None, None, None, 1.0]


def test_the_spectrum_of_a_row_off_the_grid_is_rejected(tmp_path):
    wave = np.tile(GALAXIESML_WAVE_L, (4, 1))
    wave[1] += 0.8
    wave[2] = np.nan
    galaxies, rejections = read_checked(galaxiesml_source(write_galaxiesml(tmp_path / "a.hdf5", n=4, wave=wave)))
    assert [g.flux_L is None for g in galaxies] == [False, True, True, False]
    assert all(g.image_CHW is not None for g in galaxies)
    assert [(r.object_id[-1], r.field) for r in rejections] == [("1", "spectrum"), ("2", "spectrum")]
    assert "3600.80" in rejections[0].reason and "3600.00" in rejections[0].reason


@pytest.mark.parametrize(
    ("dataset", "field"), [("image", "image"), ("spectrum/flux", "spectrum"), ("spectrum/wave", "spectrum")]
)
def test_only_the_corrupt_field_is_rejected(tmp_path, dataset, field):
    path = write_galaxiesml(tmp_path / "a.hdf5", n=5)
    corrupt_hdf5_row(path, dataset, row=2)
    galaxies, rejections = read_checked(galaxiesml_source(path, chunk_rows=4))
    assert len(galaxies) == 5
    lost = [(g.image_CHW if field == "image" else g.flux_L) is None for g in galaxies]
    assert lost == [False, False, True, False, False]
    assert [(r.field, r.where) for r in rejections] == [(field, f"{path}, row 2")]
    assert dataset in rejections[0].reason


def test_a_row_with_corrupt_image_and_spectrum_keeps_its_magnitudes(tmp_path):
    path = write_galaxiesml(tmp_path / "a.hdf5", n=4)
    corrupt_hdf5_row(path, "image", row=1)
    corrupt_hdf5_row(path, "spectrum/ivar", row=1)
    galaxies, rejections = read_checked(galaxiesml_source(path))
    assert [g.object_id[-1] for g in galaxies] == ["0", "1", "2", "3"]
    assert galaxies[1].image_CHW is None and galaxies[1].flux_L is None and galaxies[1].cmodel_mag_C is not None
    assert [r.field for r in rejections] == ["image", "spectrum"]


def test_a_targetid_that_is_not_a_number_is_rejected(tmp_path):
    path = write_galaxiesml(tmp_path / "a.hdf5", n=3, targetid=np.array([b"12", b"x7", b""]))
    galaxies, rejections = read_checked(galaxiesml_source(path))
    assert [g.targetid for g in galaxies] == [12, None, None]
    assert [(r.field, r.object_id[-1]) for r in rejections] == [("targetid", "1")]


def test_missing_and_truncated_files_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.hdf5"):
        galaxiesml_source(tmp_path / "none.hdf5")
    (tmp_path / "text.hdf5").write_text("<html>404</html>")
    with pytest.raises(InputError, match=r"text\.hdf5"):
        galaxiesml_source(tmp_path / "text.hdf5")
    path = write_galaxiesml(tmp_path / "cut.hdf5", n=3)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"cut\.hdf5"):
        galaxiesml_source(path)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"image": None}, "dataset image "),
        ({"spectrum__wave": None}, "dataset spectrum/wave "),
        ({"DESI_fibermap__DESI_redshift": None}, "dataset DESI_fibermap/DESI_redshift "),
        ({"object_id": np.arange(2)}, "object_id .*2 .*image .*3"),
        ({"HSC_metadata__g_cmodel_mag": np.ones(4)}, "g_cmodel_mag .*4 "),
        ({"image": np.ones((3, 4, 64, 64), np.float32)}, r"\(3, 4, 64, 64\).*g,r,i,z,y"),
        ({"image": np.ones((3, 5, 64, 60), np.float32)}, r"\(3, 5, 64, 60\)"),
        ({"spectrum__ivar": np.ones((3, 7781), np.float32)}, r"spectrum/ivar .*\(3, 7781\)"),
        ({"wave": np.tile(GALAXIESML_WAVE_L + 0.4, (3, 1))}, "3599.60..9825.20 A .*7783"),
        ({"wave": np.linspace(3599.2, 9900, 7783)}, "spectrum/wave .*3600.0..9824.0 A"),
        ({"wave": np.full((3, 7783), np.nan)}, "spectrum/wave .*3600.0..9824.0 A"),
    ],
)
def test_errors_of_the_whole_file_name_the_dataset(tmp_path, changes, named):
    path = write_galaxiesml(tmp_path / "bad.hdf5", n=3, **changes)
    with pytest.raises(InputError, match=named) as caught:
        galaxiesml_source(path)
    assert str(path) in str(caught.value)


# --- GalaxiesML, without spectra --------------------------------------------------------------


def write_without_spectra(path: Path, n: int = 6, **datasets) -> Path:
    """A file in the layout of GalaxiesML: images, HSC magnitudes and spectroscopic redshifts, no groups."""
    content = {
        "image": synthetic_images(n, 64),
        "object_id": 42_000_000_000_000_000 + np.arange(n),
        "specz_redshift": np.linspace(0.1, 0.6, n),
        "specz_redshift_err": np.full(n, 1e-4),
        "ra": np.full(n, 150.0),
        "dec": np.arange(n) * 1.0,
        **{f"{b}_cmodel_mag": np.full(n, 20.0 + i) for i, b in enumerate(BANDS)},
    } | datasets
    with h5py.File(path, "w") as file:
        for name, values in content.items():
            if values is not None:
                file[name] = values
    return path


def test_file_without_spectra(tmp_path):
    path = write_without_spectra(tmp_path / "g.hdf5")
    source = galaxiesml_source(path, chunk_rows=4)
    galaxies, rejections = read_checked(source)
    assert not rejections and len(galaxies) == 6 and "spectrum/flux" not in source.provenance["absent_datasets"]
    for i, galaxy in enumerate(galaxies):
        assert galaxy.flux_L is None and galaxy.ivar_L is None
        np.testing.assert_array_equal(galaxy.image_CHW, synthetic_images(6, 64)[i])
        assert galaxy.redshift == pytest.approx(0.1 + 0.1 * i) and galaxy.redshift_err == 1e-4
        assert (galaxy.ra, galaxy.dec, galaxy.targetid) == (150.0, i, None)
        assert galaxy.cmodel_mag_C.tolist() == [20, 21, 22, 23, 24]
        assert galaxy.object_id == str(42_000_000_000_000_000 + i)


def test_only_image_and_object_id_are_required(tmp_path):
    path = write_without_spectra(
        tmp_path / "g.hdf5", specz_redshift=None, ra=None, **{f"{b}_cmodel_mag": None for b in BANDS}
    )
    galaxies, _ = read_checked(galaxiesml_source(path))
    assert all(g.redshift is None and g.ra is None and g.cmodel_mag_C is None for g in galaxies)
    for name in ("image", "object_id"):
        with pytest.raises(InputError, match=f"dataset {name} is missing"):
            galaxiesml_source(write_without_spectra(tmp_path / "h.hdf5", **{name: None}))


def test_redshifts_whose_sources_differ_are_no_labels(tmp_path):
    flag = np.array([True, False, True, True, False, True])
    path = write_without_spectra(tmp_path / "g.hdf5", specz_flag_homogeneous=flag)
    galaxies, rejections = read_checked(galaxiesml_source(path))
    assert [g.redshift is not None for g in galaxies] == flag.tolist()
    assert [(r.field, r.object_id[-1]) for r in rejections] == [("redshift", "1"), ("redshift", "4")]


def test_a_part_of_the_spectra_is_an_error(tmp_path):
    for name in ("spectrum/ivar", "spectrum/wave", "DESI_fibermap/DESI_redshift"):
        path = write_galaxiesml(tmp_path / "g.hdf5", **{name.replace("/", "__"): None})
        with pytest.raises(InputError, match=f"dataset {name} is missing"):
            galaxiesml_source(path)


def test_repeated_object_ids_have_their_row(tmp_path):
    path = write_galaxiesml(tmp_path / "g.hdf5", object_id=np.array([7, 8, 7, 9, 10, 7]))
    galaxies, _ = read_checked(galaxiesml_source(path, chunk_rows=2))
    assert [g.object_id for g in galaxies] == ["g/row-0/7", "8", "g/row-2/7", "9", "10", "g/row-5/7"]
