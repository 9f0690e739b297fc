"""FITS files as queries, and matches of images and spectra."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from rich.console import Console

from mmae.catalogue import align_job
from mmae.catalogue.align_config import AlignConfig
from mmae.catalogue.align_fit import Pairs, fit_alignment
from mmae.catalogue.align_job import align
from mmae.catalogue.alignment import load_alignment, save_alignment
from mmae.catalogue.fluxes import aperture_fluxes, interval_fluxes
from mmae.catalogue.model import load_any
from mmae.catalogue.queries import is_file, read_queries
from mmae.catalogue.read import read_catalogue, read_fluxes
from mmae.catalogue.search import search
from mmae.catalogue.search_config import SearchConfig
from mmae.core.errors import InputError
from mmae.survey.schema import Galaxy
from tests.catalogue.small import SPEC, galaxy, options, predict_here, write_small_bundle, write_survey
from tests.ingest.files import SHARED_GALAXIES, needs_shared, write_coadd, write_hsc_band, write_hsc_object

pytest.importorskip("usearch")
N, BANDS = 60, "gr"
BAND_WAVES = np.array([4770.0, 6200.0])


def paired(number: int, **changes) -> Galaxy:
    """A galaxy whose image and spectrum have one brightness and one colour."""
    rng = np.random.default_rng(number)
    level, slope = rng.lognormal(1, 1), rng.normal(0, 2)
    y_HW, x_HW = np.mgrid[:16, :16] - 7.5
    image = level * (BAND_WAVES / 5500)[:, None, None] ** slope * np.exp(-(x_HW**2 + y_HW**2) / 15)
    flux = level * (SPEC.wavelength_L() / 5500) ** slope
    values = {
        "image_CHW": (image + rng.normal(0, 0.01, image.shape)).astype(np.float32),
        "flux_L": (flux + rng.normal(0, 0.01, flux.shape)).astype(np.float32),
        "ivar_L": np.full(flux.shape, 1e4, np.float32),
    }
    return galaxy(number, **values | changes)


def pairs(numbers) -> Pairs:
    some = [paired(i) for i in numbers]
    image = aperture_fluxes(np.stack([g.image_CHW for g in some]), SPEC.pixel_scale)
    spectrum = interval_fluxes(np.stack([g.flux_L for g in some]), np.stack([g.ivar_L for g in some]))
    return Pairs({"image": image, "spectrum": spectrum}, None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A bundle with an alignment, and catalogues of images, of spectra, and of both."""
    folder = tmp_path_factory.mktemp("match")
    bundle = write_small_bundle(folder / "b")
    save_alignment(fit_alignment(pairs(range(500, 800)), pairs(range(800, 900)), load_any(bundle).hash), bundle)
    survey = write_survey(folder / "s", [paired(i) for i in range(N)])
    for name, use in (("images", ("image",)), ("spectra", ("spectrum",)), ("both", ())):
        predict_here(options(bundle, survey, folder / name, use=use, anomaly=False))
    return folder


def cutout(path, number: int):
    return str(write_hsc_object(path, paired(number).image_CHW, BANDS))


def coadd(path, numbers, **changes):
    some = [paired(i) for i in numbers]
    flux, ivar = (np.stack([getattr(g, name) for g in some]) for name in ("flux_L", "ivar_L"))
    waves = {"B": SPEC.wavelength_L()}
    return str(write_coadd(path, 100 + np.array(numbers), flux=flux, ivar=ivar, **{"waves": waves} | changes))


def run(folder, catalogue: str, like, **changes) -> list[dict]:
    console = Console(file=io.StringIO(), width=200)
    config = SearchConfig(folder / catalogue, like, neighbours=5, model=str(folder / "b"), out=folder / "out")
    return search(replace(config, **changes), console).to_pylist()


def test_fluxes_of_a_catalogue_are_those_of_its_galaxies(folder):
    rows = read_catalogue(folder / "both", ["object_id", "mmae_aperture_flux", "mmae_interval_flux"])
    numbers = [int(name[1:]) for name in rows["object_id"].to_pylist()]
    expected = pairs(numbers).flux_NF
    for name in ("image", "spectrum"):
        np.testing.assert_allclose(read_fluxes(rows, name), expected[name], rtol=1e-5)


def test_cutout_finds_its_spectrum_and_spectrum_its_image(folder, tmp_path):
    likes = tuple(cutout(tmp_path / f"{i}.fits", i) for i in range(8))
    found = run(folder, "spectra", likes, find="spectra", survey=str(folder / "s"))
    best = [row for row in found if row["rank"] == 0]
    assert np.mean([row["object_id"] == f"g{i:05d}" for i, row in enumerate(best)]) >= 0.75
    assert all(0 <= row["probability"] <= 1 for row in found)
    path = coadd(tmp_path / "coadd.fits", range(8))
    back = run(folder, "images", tuple(f"{path}:{100 + i}" for i in range(8)), find="images", survey=str(folder / "s"))
    best = [row for row in back if row["rank"] == 0]
    assert np.mean([row["object_id"] == f"g{i:05d}" for i, row in enumerate(best)]) >= 0.75
    assert back == pq.read_table(folder / "out" / "matches.parquet").to_pylist()
    assert len(list((folder / "out").glob("matches-*.png"))) == 8


def test_a_galaxy_of_a_catalogue_of_both_lacks_what_is_searched(folder, tmp_path):
    survey = write_survey(tmp_path / "s", [paired(0, flux_L=None, ivar_L=None), paired(1), paired(0, object_id="twin")])
    predict_here(options(folder / "b", survey, tmp_path / "c", anomaly=False))
    found = run(folder, tmp_path / "c", ("g00000",), find="spectra")
    assert found[0]["object_id"] == "twin" and len(found) == 2
    with pytest.raises(InputError, match="has an image and a spectrum of this galaxy already"):
        run(folder, tmp_path / "c", ("g00001",), find="spectra")


def test_cutout_is_most_similar_to_itself(folder, tmp_path):
    found = run(folder, "images", (cutout(tmp_path / "7.fits", 7),), survey=str(folder / "s"))
    assert found[0]["object_id"] == "g00007" and found[0]["cosine"] > 0.99 and len(found) == 5
    with pytest.raises(InputError, match="cannot be compared with those of this catalogue, of image and spectrum"):
        run(folder, "both", (cutout(tmp_path / "7.fits", 7),))


def test_bands_in_several_files_are_one_cutout(folder, tmp_path):
    image_CHW = paired(3).image_CHW
    paths = [str(write_hsc_band(tmp_path / f"a_{b}.fits", b, x)) for b, x in zip(BANDS, image_CHW, strict=True)]
    (query,) = read_queries(paths, load_any(folder / "b").spec)
    np.testing.assert_allclose(query.galaxy.image_CHW, image_CHW, rtol=1e-6)


def test_one_spectrum_of_several_exposures_is_chosen_by_its_target(folder, tmp_path):
    path = coadd(tmp_path / "c.fits", [4, 9])
    assert is_file(f"{path}:109") and not is_file("39627:12") and not is_file("g00001")
    (query,) = read_queries([f"{path}:109"], load_any(folder / "b").spec)
    np.testing.assert_allclose(query.galaxy.flux_L, paired(9).flux_L, rtol=1e-5)
    with pytest.raises(InputError, match="the file has 2 spectra; choose one: .*:TARGETID, with TARGETID 104, 109"):
        read_queries([path], load_any(folder / "b").spec)
    with pytest.raises(InputError, match="no such TARGETID"):
        read_queries([f"{path}:5"], load_any(folder / "b").spec)


def edited(path, **cards) -> str:
    """A cutout with other header cards in all bands; None: without the card."""
    cutout(path, 0)
    with fits.open(path, mode="update") as file:
        for hdu in file[1:]:
            for key, value in cards.items():
                if value is None:
                    del hdu.header[key]
                else:
                    hdu.header[key] = value
    return str(path)


@pytest.mark.parametrize(
    "write, message",
    [
        (lambda p: str(write_hsc_object(p, paired(0).image_CHW[:1], "g")), "band r is missing, found g"),
        (lambda p: edited(p, CD1_1=-0.26 / 3600, CD2_2=0.26 / 3600), "0.2600 arcsec per pixel, not 0.168"),
        (lambda p: edited(p, FLUXMAG0=None), "band g has no zero point"),
        (lambda p: edited(p, CTYPE1=None, CTYPE2=None), "no celestial WCS, so that its pixel scale is not known"),
        (lambda p: coadd(p, [0], waves={"B": SPEC.wavelength_L() + 6000}), "no spectrum between 4000 and 6940"),
        (lambda p: str(p), "no such file"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(folder, tmp_path, write, message):
    with pytest.raises(InputError, match=message):
        read_queries([write(tmp_path / "a.fits")], load_any(folder / "b").spec)


def test_a_broken_file_is_refused(folder, tmp_path):
    (tmp_path / "a.fits").write_bytes(b"half")
    with pytest.raises(InputError, match="cannot be read"):
        read_queries([str(tmp_path / "a.fits")], load_any(folder / "b").spec)


@pytest.mark.parametrize(
    "catalogue, find, message",
    [
        ("images", "spectra", "predicted from image: it has no spectrum to compare with"),
        ("spectra", "images", "is an image. Use --find spectra"),
    ],
)
def test_a_search_that_cannot_succeed_is_refused(folder, tmp_path, catalogue, find, message):
    with pytest.raises(InputError, match=message):
        run(folder, catalogue, (cutout(tmp_path / "1.fits", 1),), find=find)


def test_another_model_is_refused(folder, tmp_path):
    other = write_small_bundle(tmp_path / "other", seed=1)
    with pytest.raises(InputError, match="not the model that predicted"):
        run(folder, "images", ("g00001",), model=str(other))
    with pytest.raises(InputError, match="needs the model of the catalogue. Give --model"):
        run(folder, "images", (cutout(tmp_path / "1.fits", 1),), model="")


def test_alignment_of_a_survey(tmp_path, monkeypatch):
    lacking = [paired(900, flux_L=None, ivar_L=None), paired(901, image_CHW=None)]
    survey = write_survey(tmp_path / "s", [*(paired(i) for i in range(78)), *lacking], splits=("train", "val"))
    bundle, console = write_small_bundle(tmp_path / "b"), Console(file=io.StringIO(), width=200)
    with pytest.raises(InputError, match="40 galaxies of the train split have image and spectrum; an alignment needs"):
        align(AlignConfig(str(bundle), survey), console)
    monkeypatch.setattr(align_job, "LEAST_PAIRS", 20)
    align(AlignConfig(str(bundle), survey, train=35), console)
    found, _ = load_alignment(bundle, load_any(bundle).hash)
    assert found.calibration.gallery == 38 and "35 training and 38 validation" in console.file.getvalue()


@needs_shared
@pytest.mark.parametrize("name", ["desi_coadd-4-80613-thru20210324.fits", "boss/spec-*.fits"], ids=["DESI", "BOSS"])
def test_real_spectra_are_read(name, folder):
    path = sorted(SHARED_GALAXIES.glob(name))[0]
    spec = replace(load_any(folder / "b").spec, wavelength_start=3600.0, wavelength_step=0.8, n_wavelengths=7781)
    (query,) = read_queries([str(path)], spec)
    assert query.modality == "spectrum" and (query.galaxy.ivar_L > 0).mean() > 0.9
