"""Rejected fields of a galaxy and their reasons, and bit-identical storage in Parquet."""

from __future__ import annotations

import io
import warnings
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmae.core.errors import InputError
from mmae.survey.schema import Galaxy, SurveySpec, arrow_schema, check_galaxy, to_table
from mmae.survey.tensors import decode_tensor

SPEC = SurveySpec(
    bands=("g", "r"),
    image_size=4,
    n_wavelengths=12,
    band_noise=(0.02, 0.03),
    arcsinh_mean=(1.0, 1.5),
    arcsinh_std=(1.8, 1.9),
)
WHERE = "file.hdf5, row 17"


def galaxy(**values) -> Galaxy:
    rng = np.random.default_rng(3)
    complete = {
        "object_id": "a",
        "ra": 150.0,
        "dec": 2.0,
        "targetid": 39_633_000_000_000_001,
        "redshift": 0.5,
        "redshift_err": 1e-4,
        "image_CHW": rng.normal(1, 1, (2, 4, 4)).astype(np.float32),
        "flux_L": rng.normal(1, 1, 12).astype(np.float32),
        "ivar_L": np.full(12, 2.0, np.float32),
        "cmodel_mag_C": np.array([20.5, 19.5]),
        "morphtype": "REX",
        "group_id": "parent-1",
    }
    return Galaxy(**(complete | values))


def image_with(value: float) -> np.ndarray:
    image = galaxy().image_CHW.copy()
    image[1, 2, 3] = value
    return image


def spectrum_with(value: float, at: int = 5) -> np.ndarray:
    return np.where(np.arange(12) == at, np.float32(value), np.float32(2.0))


def test_a_valid_galaxy_is_not_changed():
    checked = check_galaxy(galaxy(), SPEC, WHERE)
    assert checked.rejections == []
    expected, got = galaxy(), checked.galaxy
    for name in ("image_CHW", "flux_L", "ivar_L", "cmodel_mag_C"):
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name))
    for name in ("object_id", "ra", "dec", "targetid", "redshift", "redshift_err", "morphtype", "group_id"):
        assert getattr(got, name) == getattr(expected, name)


@pytest.mark.parametrize(
    ("values", "field", "reason"),
    [
        ({"image_CHW": np.full((2, 4, 4), np.nan)}, "image", "no pixel"),
        ({"image_CHW": image_with(np.inf)}, "image", "1 pixels"),
        ({"image_CHW": image_with(-np.inf)}, "image", "1 pixels"),
        ({"image_CHW": np.zeros((2, 4, 4), np.float32)}, "image", "zero"),
        ({"image_CHW": np.where(image_with(np.nan) > 0, np.nan, 0.0)}, "image", "zero"),
        ({"image_CHW": np.full((2, 4, 4), 1e39)}, "image", "1e+39"),
        ({"ivar_L": np.zeros(12, np.float32)}, "spectrum", "ivar"),
        ({"ivar_L": spectrum_with(-1.0)}, "spectrum", "ivar"),
        ({"ivar_L": spectrum_with(np.nan)}, "spectrum", "ivar"),
        ({"ivar_L": spectrum_with(np.inf)}, "spectrum", "ivar"),
        ({"flux_L": spectrum_with(np.nan)}, "spectrum", "flux"),
        ({"flux_L": spectrum_with(np.inf)}, "spectrum", "flux"),
        ({"redshift": -0.01}, "redshift", "-0.01"),
        ({"redshift": float("nan")}, "redshift", "nan"),
        ({"redshift": float("inf")}, "redshift", "inf"),
    ],
)
def test_only_the_invalid_field_is_rejected(values, field, reason):
    checked = check_galaxy(galaxy(**values), SPEC, WHERE)
    (rejection,) = checked.rejections
    assert (rejection.object_id, rejection.where, rejection.field) == ("a", WHERE, field)
    assert reason in rejection.reason
    left = checked.galaxy
    assert (left.image_CHW is None) == (field == "image")
    assert (left.flux_L is None) == (left.ivar_L is None) == (field == "spectrum")
    assert (left.redshift is None) == (left.redshift_err is None) == (field == "redshift")


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_missing_pixels_are_stored_as_nan(dtype):
    spec = replace(SPEC, image_dtype=dtype)
    image = image_with(np.nan)
    image[0] = np.nan  # a band that was not observed
    checked = check_galaxy(galaxy(image_CHW=image), spec, WHERE)
    assert not checked.rejections and checked.galaxy.masked_fraction == 1
    table = through_parquet(to_table([checked.galaxy], ["val"], spec))
    stored_NX, has_image_N = decode_tensor(table["image"], np.dtype(dtype))
    assert has_image_N.all() and table["masked_fraction"].to_pylist() == [1]
    np.testing.assert_array_equal(stored_NX[0].reshape(2, 4, 4), image.astype(dtype).astype(np.float32))


def test_an_image_with_missing_pixels_may_still_be_too_bright_for_float16():
    image = image_with(70_000.0)
    image[0] = np.nan
    (rejection,) = check_galaxy(galaxy(image_CHW=image), replace(SPEC, image_dtype="float16"), WHERE).rejections
    assert "7e+04" in rejection.reason


def test_values_beyond_float16_are_rejected_for_float16():
    bright = {"image_CHW": image_with(-70_000.0)}
    assert check_galaxy(galaxy(**bright), SPEC, WHERE).rejections == []
    (rejection,) = check_galaxy(galaxy(**bright), replace(SPEC, image_dtype="float16"), WHERE).rejections
    assert rejection.field == "image" and "7e+04" in rejection.reason
    just = {"image_CHW": image_with(65_504.0)}
    assert check_galaxy(galaxy(**just), replace(SPEC, image_dtype="float16"), WHERE).rejections == []


@pytest.mark.parametrize("name", ["flux_L", "ivar_L"])
def test_spectra_that_overflow_float32_are_rejected(name):
    """Finite in float64, infinite once written."""
    value = np.full(12, 2.0)
    value[5] = 1e39
    checked = check_galaxy(galaxy(**{name: value}), SPEC, WHERE)
    assert checked.galaxy.flux_L is None
    assert [r.field for r in checked.rejections] == ["spectrum"]


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_flux_of_bad_pixels_is_set_to_zero(value):
    flux, ivar = spectrum_with(value), spectrum_with(0.0)
    checked = check_galaxy(galaxy(flux_L=flux, ivar_L=ivar), SPEC, WHERE)
    assert checked.rejections == []
    np.testing.assert_array_equal(checked.galaxy.flux_L, spectrum_with(0.0))
    np.testing.assert_array_equal(checked.galaxy.ivar_L, ivar)


def test_redshift_zero_is_kept():
    checked = check_galaxy(galaxy(redshift=0.0), SPEC, WHERE)
    assert checked.galaxy.redshift == 0.0 and checked.rejections == []


def test_a_row_is_rejected_only_without_any_measurement():
    invalid = {"ivar_L": np.zeros(12, np.float32), "cmodel_mag_C": np.array([np.nan, np.nan])}
    checked = check_galaxy(galaxy(image_CHW=image_with(np.inf), **invalid), SPEC, WHERE)
    assert checked.galaxy is None and [r.field for r in checked.rejections] == ["image", "spectrum", "row"]
    checked = check_galaxy(galaxy(image_CHW=None, **invalid), SPEC, WHERE)
    assert checked.galaxy is None and [r.field for r in checked.rejections] == ["spectrum", "row"]
    nothing = {"image_CHW": None, "flux_L": None, "ivar_L": None, "cmodel_mag_C": None}
    for kept in ("image_CHW", "cmodel_mag_C"):
        one = {name: value for name, value in nothing.items() if name != kept}
        checked = check_galaxy(galaxy(**one), SPEC, WHERE)
        assert checked.galaxy is not None and checked.rejections == []
    of_one_band = galaxy(**nothing | {"cmodel_mag_C": np.array([np.nan, 20.0])})
    assert check_galaxy(of_one_band, SPEC, WHERE).rejections == []
    spec = replace(SPEC, extra_columns=(("size", 1),))
    assert check_galaxy(galaxy(**nothing, extra={"size": 2.0}), spec, WHERE).rejections == []


def test_a_survey_of_tables_has_no_columns_of_images_and_spectra():
    spec = replace(SPEC, image_size=0, n_wavelengths=0)
    bare = galaxy(image_CHW=None, flux_L=None, ivar_L=None)
    table = to_table([bare], ["test"], spec)
    assert not {"image", "flux", "ivar"} & set(table.column_names) and table["g_cmodel_mag"].to_pylist() == [20.5]
    assert SurveySpec.from_json(spec.to_json()) == spec


def test_all_differences_of_a_grid_are_named():
    other = replace(SPEC, zero_point=22.5, wavelength_start=3700.0)
    with pytest.raises(InputError, match="zero_point is 22.5.*wavelength_start is 3700"):
        SPEC.require_equal_grid(other, "here")


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"image_CHW": np.ones((3, 4, 4))}, r"\(3, 4, 4\).*\(2, 4, 4\).*g,r"),
        ({"image_CHW": np.ones((2, 5, 4))}, r"\(2, 5, 4\)"),
        ({"image_CHW": np.ones((4, 4))}, r"\(4, 4\)"),
        ({"flux_L": np.ones(11)}, "flux .*11.* 12 "),
        ({"ivar_L": np.ones(13)}, "ivar .*13"),
        ({"ivar_L": None}, "ivar .*None"),
        ({"flux_L": None}, "flux .*None"),
        ({"flux_L": np.ones((1, 12))}, r"flux .*\(1, 12\)"),
    ],
)
def test_a_wrong_shape_is_an_error_of_the_file(values, named):
    with pytest.raises(InputError, match=named) as caught:
        check_galaxy(galaxy(**values), SPEC, WHERE)
    assert str(caught.value).startswith(WHERE)


def through_parquet(table: pa.Table) -> pa.Table:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    buffer.seek(0)
    return pq.read_table(buffer)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@settings(deadline=None, max_examples=25)
@given(
    arrays(np.float32, (2, 4, 4), elements=st.floats(-60_000, 60_000, width=16)),
    arrays(np.float32, 12, elements=st.floats(-(2.0**99), 2.0**99, width=32)),
    arrays(np.float32, 12, elements=st.floats(0, 2.0**99, width=32)),
)
def test_tensors_of_a_row_are_bit_identical(dtype, image, flux, ivar):
    spec = replace(SPEC, image_dtype=dtype)
    # Not contiguous and float64, as readers may return.
    fortran = np.asfortranarray(image.astype(float))
    table = through_parquet(to_table([galaxy(image_CHW=fortran, flux_L=flux, ivar_L=ivar)], ["val"], spec))
    row = table.to_pylist()[0]
    np.testing.assert_array_equal(np.frombuffer(row["image"], dtype).reshape(2, 4, 4).astype(np.float32), image)
    np.testing.assert_array_equal(np.frombuffer(row["flux"], np.float32), flux)
    np.testing.assert_array_equal(np.frombuffer(row["ivar"], np.float32), ivar)


def test_scalars_of_a_row():
    row = through_parquet(to_table([galaxy()], ["train"], SPEC)).to_pylist()[0]
    assert row["object_id"] == "a" and row["targetid"] == 39_633_000_000_000_001  # beyond float64
    assert (row["ra"], row["dec"], row["redshift"]) == (150.0, 2.0, 0.5)
    assert row["redshift_err"] == np.float32(1e-4)
    assert (row["g_cmodel_mag"], row["r_cmodel_mag"]) == (20.5, 19.5)
    assert (row["morphtype"], row["group_id"], row["split"]) == ("REX", "parent-1", "train")


def test_missing_values_are_null():
    bare = Galaxy("b", image_CHW=galaxy().image_CHW, cmodel_mag_C=np.array([np.nan, 21.0]))
    only_spectrum = Galaxy("c", flux_L=galaxy().flux_L, ivar_L=galaxy().ivar_L)
    rows = through_parquet(to_table([bare, only_spectrum, galaxy()], ["train", "val", "test"], SPEC)).to_pylist()
    null = {name: [row[name] is None for row in rows] for name in rows[0]}
    assert null["image"] == [False, True, False] and null["flux"] == null["ivar"] == [True, False, False]
    for name in ("redshift", "redshift_err", "ra", "dec", "targetid", "morphtype", "g_cmodel_mag"):
        assert null[name] == [True, True, False], name
    assert null["r_cmodel_mag"] == [False, True, False]
    # The group of a galaxy without group_id is its object_id.
    assert [row["group_id"] for row in rows] == ["b", "c", "parent-1"]
    assert [row["split"] for row in rows] == ["train", "val", "test"]


def test_the_spec_is_in_the_schema_metadata():
    schema = through_parquet(to_table([galaxy()], ["train"], SPEC)).schema
    assert SurveySpec.from_json(schema.metadata[b"mmae.survey_spec"]) == SPEC
    assert schema.equals(arrow_schema(SPEC))
    assert schema.field("image").type == pa.binary(2 * 4 * 4 * 4)
    assert arrow_schema(replace(SPEC, image_dtype="float16")).field("image").type == pa.binary(2 * 4 * 4 * 2)
    assert schema.field("flux").type == schema.field("ivar").type == pa.binary(12 * 4)


@pytest.mark.parametrize("spec", [SPEC, SurveySpec()])
def test_spec_survives_json(spec):
    back = SurveySpec.from_json(spec.to_json())
    assert back == spec and hash(back) == hash(spec)  # tuples, not lists
    assert SurveySpec.from_json(spec.to_json().encode()) == spec


def test_default_grid_is_the_desi_grid():
    wave_L = SurveySpec().wavelength_L()
    assert (len(wave_L), wave_L[0]) == (7781, 3600.0) and wave_L[-1] == pytest.approx(9824.0, abs=1e-9)
    assert SurveySpec().image_shape == (5, 64, 64)


@pytest.mark.parametrize(
    "change",
    [
        {"bands": ("r", "g")},
        {"image_size": 8},
        {"pixel_scale": 0.2},
        {"zero_point": 22.5},
        {"wavelength_start": 3600.8},
        {"wavelength_step": 1.0},
        {"n_wavelengths": 11},
    ],
)
def test_another_grid_is_refused_with_the_name_of_the_field(change):
    ((name, value),) = change.items()
    with pytest.raises(InputError) as caught:
        SPEC.require_equal_grid(replace(SPEC, **change), "survey/train/0.parquet")
    message = str(caught.value)
    assert message.startswith("survey/train/0.parquet") and name in message
    assert str(value) in message and str(getattr(SPEC, name)) in message


def test_other_constants_of_the_same_grid_are_accepted():
    SPEC.require_equal_grid(replace(SPEC, image_dtype="float16", band_noise=(1.0, 2.0)), "here")


def test_checks_give_no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_galaxy(galaxy(image_CHW=image_with(np.inf), flux_L=spectrum_with(np.inf)), SPEC, WHERE)
