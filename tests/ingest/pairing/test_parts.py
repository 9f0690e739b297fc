"""Single steps of pairing: file names, positions, cells, redshifts, catalogues, descriptions."""

from __future__ import annotations

import gzip
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.table import Table
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from mmae.astro.healpix import nested_cell
from mmae.core.errors import InputError
from mmae.ingest.description import CatalogueColumns, SurveyDescription, read_description
from mmae.ingest.files import FITS_ENDINGS, expand, open_fits
from mmae.ingest.pairing.catalogue import CATALOGUE, index_catalogue
from mmae.ingest.pairing.config import PairConfig
from mmae.ingest.pairing.cutouts import OpenPatch
from mmae.ingest.pairing.images import IMAGES, choose_patch, index_image
from mmae.ingest.pairing.index import Index
from mmae.ingest.pairing.names import group_by_name
from mmae.ingest.pairing.objects import join_objects
from mmae.ingest.pairing.plan import cell_name, divide_sky
from mmae.ingest.pairing.spectra import SPECTRA, index_coadd, read_spectra
from mmae.ingest.readers.redshifts import REDSHIFTS, best_redshifts
from mmae.survey.schema import SurveySpec
from tests.ingest.files import ARM_WAVES, write_coadd, write_hsc_band, write_hsc_object

SPEC = SurveySpec()
GRID = SPEC.wavelength_L()


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (["p_g.fits", "p_r.fits", "q_g.fits"], 2),
        (["9813-cutout-HSC-G-4,4.fits", "9813-cutout-HSC-R2-4,4.fits"], 1),
        (["calexp-HSC-I-9813-4,4.fits", "calexp-HSC-Z-9813-4,4.fits", "calexp-HSC-Z-9813-4,5.fits"], 2),
        (["a/x-g.fits", "b/x-g.fits"], 2),
        (["whole.fits", "whole2.fits"], 2),
    ],
)
def test_files_of_one_image_are_grouped(names, groups):
    found = group_by_name([f"/d/{name}" for name in names], SPEC.bands)
    assert len(found) == groups
    assert sorted(path for paths in found.values() for path in paths) == sorted(f"/d/{name}" for name in names)


def test_patterns_folders_and_urls(tmp_path):
    for name in ("b.fits", "a.fits", "sub/c.fits.gz", "readme.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    whole = [str(tmp_path / name) for name in ("a.fits", "b.fits", "sub/c.fits.gz")]
    assert expand([str(tmp_path)], FITS_ENDINGS, "files") == whole
    assert expand([f"{tmp_path}/*.fits", whole[0]], FITS_ENDINGS, "files") == whole[:2]
    assert expand([f"file://{tmp_path}/a*"], FITS_ENDINGS, "files") == whole[:1]
    folder = tmp_path / "v[1]*"  # names that exist are no patterns
    folder.mkdir()
    named = [str(folder / name) for name in ("c-[2].fits", "c-3.fits")]
    for path in named:
        Path(path).touch()
    assert expand([named[0]], FITS_ENDINGS, "files") == named[:1]
    assert expand([str(folder)], FITS_ENDINGS, "files") == sorted(named)
    assert expand([f"{folder}/c-[23].fits"], FITS_ENDINGS, "files") == named[1:]
    with pytest.raises(InputError, match=r"x\*\.fits"):
        expand([f"{tmp_path}/x*.fits"], FITS_ENDINGS, "files")
    with pytest.raises(InputError, match="nosuchprotocol://"):
        expand(["nosuchprotocol://bucket/a.fits"], FITS_ENDINGS, "files")


@pytest.fixture
def web(tmp_path):
    """The folder served over HTTP."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_files_are_read_over_http(tmp_path, web):
    write_coadd(tmp_path / "coadd-1.fits", np.arange(1, 4))
    (path,) = expand([f"{web}/coadd-*.fits"], FITS_ENDINGS, "coadds")
    table, _ = index_coadd(path, GRID, ("B", "R", "Z"))
    assert table["targetid"].to_pylist() == [1, 2, 3] and table["file"][0].as_py() == path == f"{web}/coadd-1.fits"
    flux, _ = read_spectra(path, np.array([0, 2]), GRID, ("B", "R", "Z"))
    assert flux.shape == (2, 7781) and np.ptp(flux) == 0
    Table({"object_id": ["a"], "ra": [1.0], "dec": [2.0]}).write(tmp_path / "c.csv")
    rows, _ = index_catalogue(f"{web}/c.csv", CatalogueColumns(), SPEC.bands)
    assert rows["object_id"].to_pylist() == ["a"]
    with pytest.raises(InputError, match=r"nothing-\*\.fits"):
        expand([f"{web}/nothing-*.fits"], FITS_ENDINGS, "coadds")


def test_any_selection_of_rows_of_a_coadd(tmp_path):
    path = write_coadd(tmp_path / "coadd-1.fits", np.arange(1, 41))
    with fits.open(path, mode="update") as file:
        for arm in ARM_WAVES:
            file[f"{arm}_FLUX"].data += np.arange(40)[:, None]
    for rows in ([0], [39], [3, 4, 6], [0, 20, 39], list(range(40))):
        flux, _ = read_spectra(str(path), np.array(rows), GRID, ("B", "R", "Z"))
        np.testing.assert_array_equal(flux[:, 100], 1.0 + np.array(rows))


def test_fibres_without_a_target_are_rejected(tmp_path):
    path = write_coadd(tmp_path / "c.fits", np.array([5, -6, 7]), OBJTYPE=np.array([b"TGT", b"TGT", b"SKY"]))
    table, rejections = index_coadd(str(path), GRID, ("B", "R", "Z"))
    assert table["targetid"].to_pylist() == [5]
    assert [r.object_id for r in rejections] == ["-6", "7"]


def test_best_redshift_of_a_target():
    rows = [(7, 0.1, 1e-5, 4, 900.0), (7, 0.2, 1e-5, 0, 10.0), (7, 0.3, 1e-5, 0, 20.0), (3, 0.4, 1e-5, 2, 1.0)]
    table = pa.table(
        [pa.array(c, f.type) for c, f in zip(zip(*rows, strict=True), REDSHIFTS, strict=True)], schema=REDSHIFTS
    )
    best = best_redshifts(table)
    assert best["targetid"].to_pylist() == [3, 7] and best["redshift"].to_pylist() == [0.4, 0.3]
    assert len(best_redshifts(REDSHIFTS.empty_table())) == 0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(0, 300))
def test_cells_have_at_most_the_given_number_of_rows_and_do_not_overlap(seed, most, n):
    rng = np.random.default_rng(seed)
    ra, dec = rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    ra[: n // 2], dec[: n // 2] = 10 + rng.normal(0, 0.01, n // 2), 20 + rng.normal(0, 0.01, n // 2)  # a cluster
    order, pixel = divide_sky(ra, dec, most)
    cells, count = np.unique(np.stack([order, pixel]), axis=1, return_counts=True)
    assert (count <= most).all()
    for o, p in cells.T:  # a row is in its cell, and cells do not overlap
        inside = nested_cell(ra, dec, int(o)) == p
        np.testing.assert_array_equal(inside, (order == o) & (pixel == p))
        if o > 0:  # no cell is smaller than necessary
            assert (nested_cell(ra, dec, int(o) - 1) == p >> 2).sum() > most


def test_rows_at_one_position_are_in_one_cell():
    order, pixel = divide_sky(np.full(10, 33.0), np.full(10, -5.0), 3)
    assert set(order) == {29} and len(set(pixel)) == 1
    assert cell_name(3, 12345) == "Norder=3/Dir=10000/Npix=12345"


def test_cutouts_equal_those_of_astropy(tmp_path):
    """For a file with an extension per band and a rotated WCS in another frame."""
    rng = np.random.default_rng(0)
    pixels = rng.normal(0, 1, (5, 200, 260)).astype(np.float32)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.radesys, wcs.wcs.equinox = ["RA---TAN", "DEC--TAN"], "FK5", 2000.0
    wcs.wcs.crval, wcs.wcs.crpix = [200.0, 60.0], [100.0, 90.0]
    angle = np.radians(30)
    wcs.wcs.cd = 0.168 / 3600 * np.array([[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    hdus = [fits.ImageHDU(p, wcs.to_header(), name=b.upper()) for b, p in zip("grizy", pixels, strict=True)]
    for hdu in hdus:
        hdu.header["FLUXMAG0"] = 2 * 10 ** (0.4 * 27.0)
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(tmp_path / "patch.fits")
    (row,) = index_image("patch", [str(tmp_path / "patch.fits")], SPEC, False).to_pylist()
    sky = wcs.pixel_to_world(np.array([130.2, 10.2]), np.array([95.9, 100.2])).icrs
    with OpenPatch(row["planes"], row["wcs"], SPEC) as patch:
        image, edge = (patch.cutout(tuple(p)) for p in patch.positions(sky.ra.deg, sky.dec.deg))
        (behind_the_tangent_plane,) = patch.positions(np.array([10.0]), np.array([-60.0]))
        for outside_image in (tuple(behind_the_tangent_plane), (1000.0, 50.0)):
            with pytest.raises(ValueError, match="outside"):
                patch.cutout(outside_image)
    expected = np.stack([Cutout2D(p, (130.2, 95.9), 64).data for p in pixels]) * np.float32(0.5)
    np.testing.assert_array_equal(image, expected)
    partial = [Cutout2D(p, (10.2, 100.2), 64, mode="partial", fill_value=np.nan).data for p in pixels]
    np.testing.assert_array_equal(edge, np.stack(partial) * np.float32(0.5))
    assert np.isnan(edge[:, :, :21]).all() and np.isfinite(edge[:, :, 22:]).all()


def test_pixels_flagged_no_data_are_missing(tmp_path):
    for band in "grizy":
        path = write_hsc_band(tmp_path / f"p-{band}.fits", band, np.ones((64, 64)))
        with fits.open(path, mode="update") as file:
            file["MASK"].header["HIERARCH MP_NO_DATA"] = 8
            file["MASK"].data[:16] = 256 if band == "r" else 1
    paths = [str(tmp_path / f"p-{band}.fits") for band in "grizy"]
    (row,) = index_image("p", paths, SPEC, False).to_pylist()
    with OpenPatch(row["planes"], row["wcs"], SPEC) as stamp:
        image = stamp.cutout(None)
    assert np.isnan(image[1, :16]).all() and image[1, 16:].min() == image[0].min() == 1


def test_the_patch_with_the_largest_distance_to_the_edge_is_chosen(tmp_path):
    tables = []
    for n, ra in enumerate((150.0, 150.006)):  # they overlap: 21.6 of 33.6 arcsec apart
        image = np.zeros((5, 200, 200))
        path = write_hsc_object(tmp_path / f"patch{n}.fits", image, ra=ra, dec=0.0)
        tables.append(index_image(f"patch{n}", [str(path)], SPEC, False))
    patches = pa.concat_tables(tables)
    # At 149.9964 the cutout is partly beyond the edge, which is at 149.9953.
    ra = np.array([150.0, 150.006, 150.0029, 150.0031, 149.9964, 149.9952, 151.0])
    assert choose_patch(patches, ra, np.zeros(7), SPEC).tolist() == [0, 1, 0, 1, 0, -1, -1]
    assert choose_patch(IMAGES.empty_table(), ra, np.zeros(7), SPEC).tolist() == [-1] * 7


def positions(schema: pa.Schema, ra, dec, **columns) -> pa.Table:
    n = len(ra)
    values = {"ra": ra, "dec": dec, **columns}
    return pa.table(
        [pa.array(values[f.name], f.type) if f.name in values else pa.nulls(n, f.type) for f in schema], schema=schema
    )


def index_of(spectra=None, stamps=None, catalogue=None) -> Index:
    none = lambda schema: schema.empty_table()  # noqa: E731
    return Index(
        spectra or none(SPECTRA), none(REDSHIFTS), none(IMAGES), stamps or none(IMAGES), catalogue or none(CATALOGUE)
    )


def joined(index: Index, tmp_path: Path, **options) -> set[tuple[int, int, int]]:
    objects = join_objects(index, PairConfig(**options), SPEC, tmp_path)
    return set(zip(*(objects[k].tolist() for k in ("catalogue", "stamps", "spectra")), strict=True))


def test_tables_are_joined_one_after_the_other(tmp_path):
    s = 1 / 3600
    index = index_of(
        catalogue=positions(CATALOGUE, [10.0, 20.0, 0.0], [0.0, 0.0, 89.9999]),
        stamps=positions(IMAGES, [10.0 + 0.5 * s, 30.0], [0.0, 0.0]),
        spectra=positions(
            SPECTRA, [10.0 - 0.4 * s, 20.0, 20.0, 30.0, 180.0, np.nan], [0.0, 0.3 * s, 0.1 * s, 0.0, 89.9999, 5.0]
        ),
    )
    # Spectra 1 and 2 are of one target: the nearer one is matched. 4 is beyond the pole, 0.7 arcsec away.
    assert joined(index, tmp_path / "1") == {(0, 0, 0), (1, -1, 2), (-1, -1, 1), (2, -1, 4), (-1, 1, 3)}
    assert joined(index, tmp_path / "2", match="nearest") == {(0, 0, 0), (1, -1, 1), (1, -1, 2), (2, -1, 4), (-1, 1, 3)}
    assert joined(index, tmp_path / "3", radius=0.05) == {
        (0, -1, -1),
        (1, -1, -1),
        (2, -1, -1),
        (-1, 0, -1),
        (-1, 1, 3),
        (-1, -1, 0),
        (-1, -1, 1),
        (-1, -1, 2),
        (-1, -1, 4),
    }


def test_positions_are_matched_at_the_epoch(tmp_path):
    moved = 20 * 0.5 / 3600  # 20 years of 0.5 arcsec
    index = index_of(
        catalogue=positions(CATALOGUE, [10.0], [0.0], pmra=[0.0], pmdec=[500.0], epoch=[1996.0]),
        spectra=positions(SPECTRA, [10.0, 10.0], [moved, 0.0]),
    )
    assert joined(index, tmp_path / "1") == {(0, -1, 0), (-1, -1, 1)}
    assert joined(index, tmp_path / "2", epoch=1996.0) == {(0, -1, 1), (-1, -1, 0)}


@pytest.mark.parametrize("ending", ["fits", "csv", "parquet", "vot", "csv.gz"])
def test_catalogue_formats(tmp_path, ending):
    table = Table(
        {
            "OBJID": [1, 2, 3],
            "RA": [10.0, 11.0, np.nan],
            "DEC": [1.0, 2.0, 3.0],
            "mag_r": [20.5, 21.5, 22.5],
            "zsp": [0.1, 0.2, 0.3],
            "type": ["PSF", "DEV", "EXP"],
        }
    )
    path = tmp_path / f"c.{ending}"
    if ending == "parquet":
        import pyarrow.parquet as pq

        pq.write_table(pa.table({name: table[name].tolist() for name in table.colnames}), path)
    elif ending == "csv.gz":
        table.write(tmp_path / "c.csv", format="ascii.csv")
        path.write_bytes(gzip.compress((tmp_path / "c.csv").read_bytes()))
    else:
        table.write(path, format={"csv": "ascii.csv", "vot": "votable"}.get(ending, ending))
    columns = CatalogueColumns(
        object_id="objid",
        ra="ra",
        dec="dec",
        redshift="zsp",
        morphtype="type",
        epoch="2015.5",
        magnitudes={"r": "MAG_R"},
    )
    rows, rejections = index_catalogue(str(path), columns, SPEC.bands)
    assert rows["object_id"].to_pylist() == ["1", "2"] and rows["redshift"].to_pylist() == [0.1, 0.2]
    assert rows["morphtype"].to_pylist() == ["PSF", "DEV"] and rows["epoch"].to_pylist() == [2015.5] * 2
    np.testing.assert_array_equal(np.array(rows["magnitudes"].to_pylist())[:, 1], np.float32([20.5, 21.5]))
    assert np.isnan(np.array(rows["magnitudes"].to_pylist())[:, 0]).all()
    assert [(r.object_id, r.where.rpartition(", ")[2]) for r in rejections] == [("3", "row 2")]


def test_units_of_a_catalogue_are_converted(tmp_path):
    table = Table({"object_id": ["a"], "ra": [np.pi] * u.rad, "dec": [3600.0] * u.arcsec, "mag": [20.0] * u.mag})
    table.write(tmp_path / "c.fits")
    rows, _ = index_catalogue(str(tmp_path / "c.fits"), CatalogueColumns(magnitudes={"g": "mag"}), SPEC.bands)
    assert rows["ra"][0].as_py() == pytest.approx(180.0) and rows["dec"][0].as_py() == pytest.approx(1.0)
    assert rows["magnitudes"][0].as_py()[0] == 20.0


def test_missing_catalogue_column(tmp_path):
    Table({"id": [1], "ra": [1.0], "dec": [2.0]}).write(tmp_path / "c.csv")
    with pytest.raises(InputError, match="object_id.* id, ra, dec"):
        index_catalogue(str(tmp_path / "c.csv"), CatalogueColumns(), SPEC.bands)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("bands: [g, g]", "bands .*g, g"),
        ("pixel_scale: 0", "pixel_scale is 0"),
        ("bands: [g, r]\nband_noise: [1.0]", "band_noise .*1 .*2 "),
        ("bands: [g]\ncatalogue: {magnitudes: {u: U}}", "catalogue.magnitudes .*band u"),
        ("pixelscale: 0.2", "pixelscale"),
    ],
)
def test_invalid_description(tmp_path, text, named):
    (tmp_path / "d.yaml").write_text(text)
    with pytest.raises(InputError, match=named):
        read_description(tmp_path / "d.yaml")


def test_normalisation_of_descriptions():
    assert SurveyDescription().spec() == SurveySpec()
    assert np.isnan(SurveyDescription(bands=("g", "r", "z")).spec().band_noise).all()
    assert SurveyDescription(image_dtype="float16").spec() == SurveySpec(image_dtype="float16")
    given = SurveyDescription(bands=("g",), band_noise=(0.1,), arcsinh_mean=(1.0,), arcsinh_std=(2.0,))
    assert given.spec().band_noise == (0.1,)


def test_open_fits_reads_compressed_files(tmp_path):
    write_coadd(tmp_path / "c.fits", np.arange(1, 3))
    (tmp_path / "c.fits.gz").write_bytes(gzip.compress((tmp_path / "c.fits").read_bytes()))
    with open_fits(tmp_path / "c.fits.gz") as file:
        assert len(file["FIBERMAP"].data) == 2
    table, _ = index_coadd(str(tmp_path / "c.fits.gz"), GRID, ("B", "R", "Z"))
    assert len(table) == 2
