"""Known sources matched on the sky: spectra of one survey with images of another, and labels of a third."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord, search_around_sky
from astropy.io import fits

from mmae.core.errors import InputError
from mmae.ingest.build import build_survey
from mmae.ingest.pairing.config import PairConfig
from mmae.ingest.pairing.source import paired_source
from mmae.ingest.sources.grid import GridConfig
from mmae.survey.schema import SurveySpec
from tests.ingest.small import in_turn
from tests.ingest.sources.mmu import (
    desi_columns,
    hsc_columns,
    legacy_columns,
    partition,
    provabgs_columns,
    scalars,
    star,
    write_hdf5,
)
from tests.ingest.sources.read import write_spec

ARCSEC = 1 / 3600


def rows_of(folder, out, sources, grid=None, **options):
    config = PairConfig(sources=tuple(sources), **options)
    source = paired_source(config, folder / out, grid=grid, run=in_turn)
    survey = build_survey([source], folder / out, run=in_turn)
    rows = [row for s in survey.shards for row in pq.ParquetFile(survey.path / s.path).read().to_pylist()]
    return survey, {row["object_id"]: row for row in rows}


def image_of(row, spec):
    return np.frombuffer(row["image"], np.float32).reshape(spec.image_shape)


@pytest.fixture
def desi_and_hsc(tmp_path):
    """Eight DESI targets at a corner of HEALPix cells of nside 16, HSC images of six of them and of another place."""
    from astropy_healpix import HEALPix

    corner = HEALPix(16, order="nested").boundaries_lonlat(1200, 1)
    ra0, dec0 = (float(v.to_value("deg")[0, 0]) for v in corner)
    shift = np.array([-3, -2, -1, -0.3, 0.2, 1, 2, 3]) * 6 * ARCSEC
    ra, dec = ra0 + shift, dec0 + shift[::-1] / 2
    spectra = desi_columns(8) | scalars(8, 0, ra, dec)
    for cell in np.unique(spectra["healpix"]):
        some = spectra["healpix"] == cell
        partition(tmp_path / "desi", {name: values[some] for name, values in spectra.items()})
    images = hsc_columns(7, 100) | scalars(7, 100, np.r_[ra[1:7] + 0.3 * ARCSEC, ra0 + 0.1], np.r_[dec[1:7], dec0])
    for cell in np.unique(images["healpix"]):
        some = images["healpix"] == cell
        partition(tmp_path / "hsc", {name: values[some] for name, values in images.items()}, "pdr3")
    assert len(set(spectra["healpix"])) > 1
    return tmp_path, spectra, images


def test_pairs_across_cells_are_those_of_astropy(desi_and_hsc):
    folder, spectra, images = desi_and_hsc
    survey, rows = rows_of(folder, "s", [f"mmu-desi={folder}/desi", f"mmu-hsc={folder}/hsc"], rows_per_cell=3)
    at = [SkyCoord(c["ra"], c["dec"], unit="deg") for c in (spectra, images)]
    expected = {(int(i), int(j)) for i, j in zip(*search_around_sky(*at, 1 * u.arcsec)[:2], strict=True)}
    assert len(expected) == 6
    found = set()
    for name, row in rows.items():
        if row["image"] is None or row["flux"] is None:
            continue
        i = list(spectra["object_id"]).index(row["targetid"])
        j = [str(v) for v in images["object_id"]].index(name)
        found.add((i, j))
        np.testing.assert_array_equal(np.frombuffer(row["flux"], np.float32), spectra["spectrum_flux"][i])
        np.testing.assert_array_equal(image_of(row, survey.spec), images["image_array"][j][:, 48:112, 48:112])
        assert row["redshift"] == np.float32(spectra["Z"][i]) and row["zwarn"] == 0
        assert row["g_cmodel_mag"] == pytest.approx(20)
    assert found == expected
    assert len(rows) == 9  # two spectra without an image, one image without a spectrum
    flow = dict(survey.provenance["sources"][0]["flow"])
    assert (flow["objects"], flow["objects with both"], flow["files of mmu-hsc"]) == (9, 6, len(set(images["healpix"])))


def test_labels_of_a_third_source(desi_and_hsc):
    folder, spectra, _ = desi_and_hsc
    labels = provabgs_columns(8) | scalars(8, 0, spectra["ra"], spectra["dec"])
    write_hdf5(folder / "provabgs" / "healpix=1" / "001-of-001.h5", labels)
    sources = [f"{name}={folder}/{name.partition('-')[2]}" for name in ("mmu-desi", "mmu-hsc", "mmu-provabgs")]
    _, rows = rows_of(folder, "s", sources)
    for i, name in enumerate(spectra["object_id"]):
        row = rows[str(name)]
        assert row["log_stellar_mass"] == pytest.approx(labels["PROVABGS_LOGMSTAR_BF"][i])
        assert row["star_formation_rate"] == pytest.approx(labels["AVG_SFR"][i, 0])
        assert row["redshift"] == np.float32(spectra["Z"][i])
        assert row["line_spread_sigma"] == pytest.approx(0.72, rel=1e-3)


def test_sdss_spectra_with_legacy_images(tmp_path):
    loglam = np.float32(3.58 + 1e-4 * np.arange(3800))
    images = legacy_columns(3)
    partition(tmp_path / "legacy", images, "dr10_south_21")
    for i in range(3):
        position = (float(images["ra"][i]), float(images["dec"][i]) + 0.5 * ARCSEC)
        write_spec(
            tmp_path / f"spec-1-2-{i}.fits", loglam, np.full(3800, i + 1.0), np.ones(3800), z=0.1 * i, position=position
        )
    sources = [f"sdss-spec={tmp_path}/spec-*.fits", f"mmu-legacy={tmp_path}/legacy"]
    survey, rows = rows_of(tmp_path, "s", sources, grid=GridConfig(bands=("r", "z"), image_size=32))
    assert survey.spec.bands == ("r", "z") and survey.spec.zero_point == 22.5
    for i in range(3):
        row = rows[f"1500p020-{i}"]
        assert row["redshift"] == pytest.approx(0.1 * i)
        np.testing.assert_array_equal(image_of(row, survey.spec), images["image_array"][i][[1, 3], 64:96, 64:96])
        assert np.frombuffer(row["flux"], np.float32)[2000] == pytest.approx(i + 1)


def test_spectra_of_a_known_source_with_cutouts_of_an_archive(tmp_path):
    """A FITS cube of the Legacy Surveys' viewer, with bands on the first axis."""
    partition(tmp_path / "desi", desi_columns(2))
    spectra = desi_columns(2)
    cube = fits.PrimaryHDU(np.tile(star(19, 22.5, 96), (3, 1, 1)).astype("f4") + np.float32(0.01))
    cube.header.update(
        {"BANDS": "grz", "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 48.5, "CRPIX2": 48.5}
        | {"CRVAL1": spectra["ra"][1], "CRVAL2": spectra["dec"][1], "CD1_1": -0.262 / 3600, "CD2_2": 0.262 / 3600}
    )
    cube.writeto(tmp_path / "cutout.fits")
    description = tmp_path / "legacy.yaml"
    description.write_text(
        "bands: [g, r, z]\npixel_scale: 0.262\nzero_point: 22.5\nimages_have_zero_point: true\n"
        "band_noise: [0.1, 0.1, 0.1]\narcsinh_mean: [0, 0, 0]\narcsinh_std: [1, 1, 1]\n"
    )
    _, rows = rows_of(
        tmp_path, "s", [f"mmu-desi={tmp_path}/desi"], stamps=(str(tmp_path / "cutout.fits"),), description=description
    )
    assert rows["cutout"]["targetid"] == spectra["object_id"][1] and rows["cutout"]["flux"]
    assert rows[str(spectra["object_id"][0])]["image"] is None


def test_confusions_are_one_clear_line(tmp_path):
    partition(tmp_path / "desi", desi_columns(2))
    (tmp_path / "cutout.jpg").write_bytes(b"\xff\xd8\xff\xe0" + b"0" * 100)
    for options, message in (
        ({"sources": (str(tmp_path),)}, "NAME=PATTERN"),
        ({"sources": (f"mmu-dsi={tmp_path}",)}, "did you mean mmu-desi"),
        ({"sources": (f"mmu-desi={tmp_path}/x*",)}, "no files of mmu-desi found"),
        ({"sources": (f"astroclip={tmp_path}",)}, "has no positions"),
        ({"sources": (f"mmu-desi={tmp_path}/desi",), "stamps": (f"{tmp_path}/*.jpg",)}, "JPEG picture.*FITS"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            paired_source(PairConfig(**options), tmp_path / "s", run=in_turn)
        assert "\n" not in str(caught.value)


def test_the_default_images_have_the_published_normalisation(desi_and_hsc):
    folder = desi_and_hsc[0]
    survey, _ = rows_of(folder, "s", [f"mmu-desi={folder}/desi", f"mmu-hsc={folder}/hsc"])
    assert survey.spec.arcsinh_mean == SurveySpec().arcsinh_mean
