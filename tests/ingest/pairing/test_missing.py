"""Missing pixels of cutouts: NaN, masks, weights in the same and in other files, edges, whole bands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmae.core.errors import InputError
from mmae.ingest.build import build_survey
from mmae.ingest.description import SurveyDescription
from mmae.ingest.normalisation import measure_images
from mmae.ingest.pairing.config import PairConfig
from mmae.ingest.pairing.cutouts import OpenPatch
from mmae.ingest.pairing.images import choose_patch, index_image, require_one_image
from mmae.ingest.pairing.names import group_by_name
from mmae.ingest.pairing.source import paired_source
from mmae.survey.schema import Rejection, SurveySpec
from tests.ingest.files import _wcs

BANDS = "grz"
HEIGHT, WIDTH, SIDE = 20, 24, 8
SPEC = replace(SurveyDescription(bands=tuple(BANDS), pixel_scale=0.262, zero_point=22.5).spec(), image_size=SIDE)
FLAGS = arrays(np.bool_, (3, HEIGHT, WIDTH), elements=st.booleans(), fill=st.just(False))


def image_of(seed: int = 0, shape: tuple[int, ...] = (3, HEIGHT, WIDTH)) -> np.ndarray:
    return np.random.default_rng(seed).normal(5, 1, shape).astype(np.float32)


def header(band: str = "", shape: tuple[int, int] = (HEIGHT, WIDTH), **values) -> fits.Header:
    found = _wcs(np.zeros(shape), 150.0, 2.0, 0.262)
    found.update({"FILTER": band} if band else {}, **values)
    return found


def write(path: Path, *hdus: fits.ImageHDU) -> Path:
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path, overwrite=True)
    return path


def index(paths: list[Path], spec: SurveySpec = SPEC, **options) -> tuple[list[dict], list[Rejection]]:
    left_out: list[Rejection] = []
    groups = group_by_name([str(path) for path in paths], spec.bands)
    tables = [index_image(name, files, spec, True, left_out, **options) for name, files in groups.items()]
    return pa.concat_tables(tables).to_pylist(), left_out


def cut(row: dict, spec: SurveySpec = SPEC, position: tuple[float, float] | None = None) -> np.ndarray:
    with OpenPatch(row["planes"], row["wcs"], spec) as patch:
        return patch.cutout(position)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    FLAGS, FLAGS, FLAGS, FLAGS, st.tuples(st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1)), st.sampled_from("hw")
)
def test_every_kind_of_missing_pixel_is_nan_and_no_other(tmp_path, nan, no_data, no_ivar, no_weight, place, where):
    """NaN, a mask bit and an inverse variance in the file of the image, and a weight in a file of its own."""
    image = image_of()
    mask = np.where(no_data, 256, 0).astype(np.int32) + 3
    for c, band in enumerate(BANDS):
        masked = fits.ImageHDU(mask[c], name="MASK")
        masked.header["HIERARCH MP_NO_DATA"], masked.header["HIERARCH MP_SAT"] = 8, 1
        write(
            tmp_path / f"p-{band}.fits",
            fits.ImageHDU(np.where(nan[c], np.nan, image[c]), header(), name="IMAGE"),
            masked,
            fits.ImageHDU((~no_ivar[c]).astype("f4"), name="INVVAR"),
        )
        weight = fits.ImageHDU((~no_weight[c]).astype("f4"), header(IMTYPE="weight" if where == "h" else ""))
        write(tmp_path / f"p-weight-{band}.fits", weight)
    (row,), left_out = index(sorted(tmp_path.iterdir()))
    assert not left_out and row["name"] == "p"
    expected = np.where(nan | no_data | no_ivar | no_weight, np.nan, image)
    wide = np.pad(expected, ((0, 0), (SIDE, SIDE), (SIDE, SIDE)), constant_values=np.nan)
    x, y = place
    middle = (SIDE - 1) / 2
    whole = wide[:, y + SIDE : y + 2 * SIDE, x + SIDE : x + 2 * SIDE]
    np.testing.assert_array_equal(cut(row, position=(x + middle, y + middle)), whole)
    top, left = (HEIGHT - SIDE) // 2, (WIDTH - SIDE) // 2
    np.testing.assert_array_equal(cut(row), expected[:, top : top + SIDE, left : left + SIDE])


def test_saturated_pixels_are_missing_by_option(tmp_path):
    mask = np.zeros((HEIGHT, WIDTH), np.int16)
    mask[8, 9], mask[9, 10], mask[10, 11] = 1 << 1, 1 << 0, 1 << 5
    image = image_of()
    for c, band in enumerate(BANDS):
        masked = fits.ImageHDU(mask, name="MASK")
        for number, kind in ((0, "BAD"), (1, "SAT"), (5, "DETECTED"), (8, "NO_DATA")):
            masked.header[f"HIERARCH MP_{kind}"] = number
        write(tmp_path / f"p-{band}.fits", fits.ImageHDU(image[c], header(), name="IMAGE"), masked)
    paths = sorted(tmp_path.iterdir())
    for kinds, missing in ((("NO_DATA",), set()), (("NO_DATA", "SAT", "BAD"), {(2, 1), (3, 2)})):
        (row,), _ = index(paths, kinds=kinds)
        for band in cut(row):
            assert set(zip(*np.nonzero(np.isnan(band)), strict=True)) == missing
    with pytest.raises(ValueError, match="no bit SATURATED, found BAD, DETECTED, NO_DATA, SAT"):
        index(paths, kinds=("SATURATED",))


@pytest.mark.parametrize("ending", ["fits", "fits.fz"])
def test_inverse_variances_beside_the_images_of_a_brick(tmp_path, ending):
    """Legacy Surveys: image, invvar and model of each band, one file each; an invvar of a missing band is left out."""
    image, ivar = image_of(1), np.ones((3, HEIGHT, WIDTH), np.float32)
    ivar[1, 9, 8:12], ivar[0, 10, 10] = 0, np.nan
    make = fits.CompImageHDU if ending.endswith("fz") else fits.ImageHDU
    lossless = {"quantize_level": 0, "compression_type": "GZIP_1"} if ending.endswith("fz") else {}
    for band, planes in zip((*BANDS, "i"), (*zip(image, ivar, strict=True), (image[0], ivar[0])), strict=True):
        for kind, plane in zip(("image", "invvar", "model"), (*planes, np.zeros_like(planes[0])), strict=True):
            path = tmp_path / f"legacysurvey-1500p020-{kind}-{band}.{ending}"
            write(path, make(plane, header(band, IMTYPE=kind), **lossless))
    (row,), left_out = index(sorted(tmp_path.iterdir()))
    top, left = (HEIGHT - SIDE) // 2, (WIDTH - SIDE) // 2
    expected = np.where(ivar > 0, image, np.nan)[:, top : top + SIDE, left : left + SIDE]
    np.testing.assert_array_equal(cut(row), expected)
    assert row["name"] == "legacysurvey-1500p020-image"
    assert sorted(r.object_id.split("-")[2] for r in left_out) == ["image", "invvar", *["model"] * 4]


def test_a_cube_with_a_cube_of_inverse_variances(tmp_path):
    image, ivar = image_of(2, (4, HEIGHT, WIDTH)), np.ones((4, HEIGHT, WIDTH), np.float32)
    for c in range(4):
        ivar[c, 8 + c, 10] = 0
    primary = fits.PrimaryHDU(image, header(BANDS="griz"))
    fits.HDUList([primary, fits.ImageHDU(ivar, name="IVAR")]).writeto(tmp_path / "cutout.fits")
    (row,), _ = index([tmp_path / "cutout.fits"])
    assert [tuple(map(int, np.argwhere(np.isnan(band))[0])) for band in cut(row)] == [(2, 2), (3, 2), (5, 2)]
    assert np.isnan(cut(row)).sum() == 3


def test_weights_without_a_band_and_of_another_shape(tmp_path):
    images = [fits.ImageHDU(image, header(), name=band.upper()) for band, image in zip(BANDS, image_of(), strict=True)]
    weight = np.ones((HEIGHT, WIDTH), np.float32)
    weight[10, 12] = 0
    path = write(tmp_path / "a.fits", *images, fits.ImageHDU(weight, name="WEIGHT"))
    (row,), _ = index([path])  # one for all
    assert [tuple(map(int, at)) for at in np.argwhere(np.isnan(cut(row)))] == [(c, 4, 4) for c in range(3)]
    in_turn = [hdu for image in images for hdu in (image, fits.ImageHDU(np.ones_like(weight), name="WEIGHT"))]
    in_turn[3].data = weight
    (row,), _ = index([write(path, *in_turn)])  # in the order of the images
    assert np.argwhere(np.isnan(cut(row))).tolist() == [[1, 4, 4]]
    with pytest.raises(ValueError, match="2 weights in a.fits without a band and 3 images"):
        index([write(path, *in_turn[:5])])
    with pytest.raises(ValueError, match=r"weight has \(5, 5\) pixels, its image \(20, 24\)"):
        index([write(path, *images, fits.ImageHDU(np.ones((5, 5)), name="WEIGHT"))])


@pytest.mark.parametrize("dtype", ["int16", "scaled"])
def test_blank_pixels_of_integer_images(tmp_path, dtype):
    for band, image in zip(BANDS, image_of(3), strict=True):
        hdu = fits.ImageHDU((1000 * image).astype(np.int16), header())
        if dtype == "scaled":
            hdu.header["BSCALE"] = 0.001
        hdu.data[10, 11] = hdu.header["BLANK"] = -32768
        write(tmp_path / f"p-{band}.fits", hdu)
    (row,), _ = index(sorted(tmp_path.iterdir()))
    found = cut(row, position=(1.5, 10.5))  # partly beyond the edge
    assert np.isnan(found[:, :, :2]).all() and np.isfinite(found[:, :, 2:]).all()
    assert np.argwhere(np.isnan(cut(row))).tolist() == [[c, 4, 3] for c in range(3)]


def test_a_star_beside_a_masked_column_keeps_its_flux(tmp_path):
    """A star of magnitude 19, 1.5 pixels from a bad column, measured by a fit of its profile to the observed pixels."""
    spec = replace(SPEC, image_size=32)
    shape, sigma, flux = (40, 40), 2.0, 10 ** (-0.4 * (19.0 - 25.0))
    y, x = np.indices(shape)
    profile = np.exp(-((x - 19.5) ** 2 + (y - 19.5) ** 2) / (2 * sigma**2)) / (2 * np.pi * sigma**2)
    mask = np.zeros(shape, np.int32)
    mask[:, 21] = 256
    star = np.where(mask, -1e4, flux * profile)  # counts at zero point 25
    for band in BANDS:
        masked = fits.ImageHDU(mask, name="MASK")
        masked.header["HIERARCH MP_NO_DATA"] = 8
        image = fits.ImageHDU(star, header(shape=shape, FLUXMAG0=10 ** (0.4 * 25.0)), name="IMAGE")
        write(tmp_path / f"p-{band}.fits", image, masked)
    (row,), _ = index(sorted(tmp_path.iterdir()), spec)
    psf = profile[4:36, 4:36]
    for band in cut(row, spec):
        seen = np.isfinite(band)
        assert not seen[:, 17].any() and seen.sum() == 31 * 32
        fitted = (band[seen] * psf[seen]).sum() / (psf[seen] ** 2).sum()
        assert spec.zero_point - 2.5 * np.log10(fitted) == pytest.approx(19.0, abs=1e-4)


def write_bands(folder: Path, name: str, bands: str, ra: float = 150.0, shape=(HEIGHT, WIDTH)) -> list[Path]:
    found = _wcs(np.zeros(shape), ra, 0.0, 0.262)
    images = image_of(len(name), (len(bands), *shape))
    return [write(folder / f"{name}-{b}.fits", fits.ImageHDU(i, found)) for b, i in zip(bands, images, strict=True)]


def test_a_missing_band_is_an_error_unless_it_is_allowed(tmp_path):
    paths = write_bands(tmp_path, "s", "gz")
    with pytest.raises(ValueError, match=r"band r is missing, found g,z; --pair\.missing-bands"):
        index(paths)
    (row,), _ = index(paths, missing_bands=True)
    image = cut(row)
    assert np.isnan(image[1]).all() and np.isfinite(image[[0, 2]]).all()
    (row,), _ = index(write_bands(tmp_path, "only", "z"), missing_bands=True)
    assert np.isfinite(cut(row)[2]).all() and np.isnan(cut(row)[:2]).all()


def test_of_two_patches_the_one_with_more_bands_is_cut(tmp_path):
    near, far = 150.0, 150.0 + 10 * 0.262 / 3600  # 10 pixels apart, of 40
    paths = [*write_bands(tmp_path, "a", "gz", near, (40, 40)), *write_bands(tmp_path, "b", "grz", far, (40, 40))]
    rows, _ = index(paths, missing_bands=True)
    patches = pa.Table.from_pylist(rows)
    half_cutout = 4 * 0.262 / 3600
    ra = np.array([near, near - half_cutout, near - 14 * 0.262 / 3600, far])
    # The third position is 1 pixel from the edge of b, where the cutout would not be whole.
    assert [rows[i]["name"] for i in choose_patch(patches, ra, np.zeros(4), SPEC)] == ["b", "b", "a", "b"]
    with pytest.raises(InputError, match="one place.*a-g.fits and .*c-r.fits"):
        rows, _ = index([*paths[:2], *write_bands(tmp_path, "c", "r", near, (40, 40))], missing_bands=True)
        require_one_image(pa.Table.from_pylist(rows), "patches", SPEC)


def test_normalisation_of_images_with_missing_pixels():
    """Those of complete images within their errors, and exactly those of the pixels that are left."""
    rng = np.random.default_rng(4)
    complete = rng.normal(0, [[[0.1]], [[0.2]], [[0.4]]], (60, 3, 40, 40)).astype(np.float32)
    missing = complete.copy()
    missing[:20, 0] = np.nan
    missing[:, 1, :, 30:] = np.nan
    missing[7:9, 2, 1:, 1:] = np.nan
    unknown = (np.nan,) * 3
    for name, values in measure_images(complete, unknown, SPEC).items():
        np.testing.assert_allclose(measure_images(missing, unknown, SPEC)[name], values, rtol=0.04, atol=0.02)
    found = measure_images(missing, (0.1, 0.2, 0.4), SPEC)
    left = np.arcsinh(missing[:, 1, :, :30] / 0.2)
    assert found["arcsinh_std"][1] == pytest.approx(left.std(), rel=1e-3)
    missing[:, 2] = np.nan
    with pytest.raises(InputError, match="band z: it is missing in all 60 images"):
        measure_images(missing, unknown, SPEC)


def test_a_survey_with_missing_bands_and_smaller_stamps(tmp_path, ray_cluster):
    """From files to Parquet."""
    (tmp_path / "d.yaml").write_text("bands: [g, r, z]\nimage_size: 16\npixel_scale: 0.262\n")
    (tmp_path / "d.yaml").open("a").write("images_have_zero_point: true\n")
    folder = tmp_path / "stamps"
    folder.mkdir()
    for n, (bands, shape) in enumerate((("grz", (16, 16)), ("gz", (16, 16)), ("grz", (16, 13)), ("grz", (16, 7)))):
        write_bands(folder, f"s{n}", bands, 150 + n / 10, shape)
    config = PairConfig(stamps=(str(folder),), description=tmp_path / "d.yaml")
    with pytest.raises(InputError, match="no image is of band r"):
        stamps = (str(folder / "s*-[gz].fits"),)
        paired_source(replace(config, missing_bands=True, stamps=stamps), tmp_path / "a")
    source = paired_source(replace(config, missing_bands=True), tmp_path / "s")
    survey = build_survey([source], tmp_path / "s")
    rows = {r["object_id"]: r for s in survey.shards for r in pa.parquet.read_table(survey.path / s.path).to_pylist()}
    assert rows.keys() == {"s0", "s1", "s2"}  # 56 % of s3 are missing
    missing = {name: np.isnan(np.frombuffer(row["image"], "f4")).reshape(3, 16, 16) for name, row in rows.items()}
    assert not missing["s0"].any() and (missing["s1"].mean((1, 2)) == [0, 1, 0]).all()
    assert missing["s2"].mean() == 3 / 16 and missing["s2"][:, :, [0, 1, 15]].all()
    assert [rows[name]["masked_fraction"] for name in sorted(rows)] == [0, 1, 3 / 16]
    assert np.isfinite(survey.spec.band_noise).all()
