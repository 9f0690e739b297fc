"""Nested Parquet: the HATS form of the Multimodal Universe, LSDB's DESI, SPARCL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmae.astro.desi import join_arms
from mmae.core.errors import InputError
from mmae.ingest.layouts import parquet
from mmae.survey.schema import SurveySpec
from tests.ingest.files import ARM_WAVES, read_all
from tests.ingest.sources.mmu import SDSS_WAVE, desi_columns, hsc_columns, legacy_columns, sdss_columns
from tests.ingest.sources.read import galaxies_of, opened

GRID = SurveySpec().wavelength_L()


def struct(**fields: list) -> pa.Array:
    return pa.StructArray.from_arrays([pa.array(v) for v in fields.values()], names=list(fields))


def spectrum(columns: dict[str, np.ndarray], lengths: list[int] | None = None) -> pa.Array:
    """struct<flux, ivar, lsf_sigma, lambda: list<float>, mask: list<bool>>, each row cut to its length."""
    fields = {"flux": "flux", "ivar": "ivar", "lsf_sigma": "lsf_sigma", "lambda": "lambda", "mask": "mask"}
    n, longest = columns["spectrum_flux"].shape
    lengths = lengths or [longest] * n
    kinds = {"mask": pa.bool_()}
    arrays = [
        pa.array(
            [list(row[:length]) for row, length in zip(columns[f"spectrum_{name}"].tolist(), lengths, strict=True)],
            pa.list_(kinds.get(name, pa.float32())),
        )
        for name in fields
    ]
    return pa.StructArray.from_arrays(arrays, names=list(fields))


def image(columns: dict[str, np.ndarray], of_structs: bool) -> pa.Array:
    """struct<band: list, flux: list<list<list>>, ...> or list<struct<band, flux: list<list>, ...>>."""
    names = {"band": "band", "flux": "array", "ivar": "ivar", "mask": "mask", "psf_fwhm": "psf_fwhm", "scale": "scale"}
    rows = []
    for i in range(len(columns["object_id"])):
        row: dict[str, Any] = {ours: columns[f"image_{theirs}"][i].tolist() for ours, theirs in names.items()}
        row["band"] = [band.decode() for band in row["band"]]
        rows.append([{k: v[j] for k, v in row.items()} for j in range(len(row["band"]))] if of_structs else row)
    return pa.array(rows)


def write_hats(root: Path, table: pa.Table, pixel: int = 100, kind: str = "object", **options: Any) -> Path:
    path = root / "dataset" / "Norder=4" / "Dir=0" / f"Npix={pixel}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, **options)
    (root / "hats.properties").write_text(f"obs_collection=x\ndataproduct_type={kind}\n")
    pq.write_table(pa.table({"Norder": [4], "Npix": [pixel]}), root / "partition_info.parquet")
    return path


def desi_table(columns: dict[str, np.ndarray], **changed: pa.Array) -> pa.Table:
    return pa.table(
        {
            "spectrum": spectrum(columns),
            **{name: columns[name].astype("f4") for name in ("Z", "ZERR", "FLUX_G", "FLUX_R", "FLUX_Z")},
            "ra": columns["ra"],
            "dec": columns["dec"],
            "ZWARN": columns["ZWARN"] == 0,  # inverted
            "object_id": [str(i) for i in columns["object_id"]],
            **changed,
        }
    )


def test_desi_with_inverted_warning(tmp_path):
    columns = desi_columns(3)
    columns["ZWARN"][1] = 4
    columns["spectrum_mask"][2, :50] = True
    write_hats(tmp_path / "desi", desi_table(columns))
    galaxies = list(galaxies_of("mmu-desi-hats", tmp_path / "desi").values())
    assert [g.redshift is None for g in galaxies] == [False, True, False]
    for i, galaxy in enumerate(galaxies):
        bad = columns["spectrum_mask"][i]
        np.testing.assert_array_equal(galaxy.ivar_L, np.where(bad, 0, 2))
        np.testing.assert_array_equal(galaxy.flux_L[~bad], columns["spectrum_flux"][i][~bad])
        assert galaxy.targetid == columns["object_id"][i]


def test_sdss_with_ids_that_were_bytes(tmp_path):
    columns = sdss_columns(3, padded=0)
    table = pa.table(
        {
            "spectrum": spectrum(columns, [3800, 3700, 3800]),  # of different length
            "Z": columns["Z"].astype("f4"),
            "Z_ERR": columns["Z_ERR"].astype("f4"),
            "ra": columns["ra"],
            "dec": columns["dec"],
            "ZWARNING": [False, False, True],
            "object_id": [str(i) for i in columns["object_id"]],
        }
    )
    assert table["object_id"][0].as_py().startswith("b'")
    write_hats(tmp_path / "sdss", table)
    galaxies = galaxies_of("mmu-sdss-hats", tmp_path / "sdss")
    assert list(galaxies) == ["4000", "4001", "4002"]
    first, second, third = galaxies.values()
    assert third.redshift is None and second.redshift == columns["Z"][1]
    beyond = (GRID > SDSS_WAVE[3700] + 1) & (GRID < SDSS_WAVE[3799])
    assert beyond.any() and first.ivar_L[beyond].all() and not second.ivar_L[beyond].any()


@pytest.mark.parametrize("of_structs", [False, True])
def test_images_of_both_nestings(tmp_path, of_structs):
    columns = hsc_columns(2)
    columns["image_mask"][0, 1, 80, 80] = False
    magnitudes = {name: columns[name] for name in columns if name.endswith("mag")}
    position = {"ra": columns["ra"], "dec": columns["dec"], "object_id": [str(i) for i in columns["object_id"]]}
    write_hats(tmp_path / "hsc", pa.table({"image": image(columns, of_structs), **position, **magnitudes}))
    galaxies = list(galaxies_of("mmu-hsc-hats", tmp_path / "hsc").values())
    expected = columns["image_array"][0][:, 48:112, 48:112].copy()
    expected[1, 32, 32] = np.nan
    np.testing.assert_array_equal(galaxies[0].image_CHW, expected)
    star = 27 - 2.5 * np.log10(galaxies[1].image_CHW.sum(axis=(1, 2), dtype=float))
    np.testing.assert_allclose(star, [20, 20.5, 21, 21.5, 22], atol=0.1)


def test_legacy_star_has_its_magnitude(tmp_path):
    columns = legacy_columns(2)
    columns["image_mask"][0, :80] = False  # one mask for all bands
    plain = {name: columns[name] for name in ("ra", "dec", "FLUX_G", "FLUX_R", "FLUX_I", "FLUX_Z")}
    ids = [name.decode() for name in columns["object_id"]]
    write_hats(tmp_path / "legacy", pa.table({"image": image(columns, False), **plain, "object_id": ids}))
    first, second = galaxies_of("mmu-legacy-hats", tmp_path / "legacy").values()
    assert np.isnan(first.image_CHW[:, :32]).all() and np.isfinite(first.image_CHW[:, 32:]).all()
    np.testing.assert_allclose(22.5 - 2.5 * np.log10(second.image_CHW.sum(axis=(1, 2))), 19, atol=0.05)
    np.testing.assert_allclose(second.cmodel_mag_C, 19, atol=1e-4)


def test_row_groups_are_read_in_pieces(tmp_path):
    columns = desi_columns(150)
    path = write_hats(tmp_path / "desi", desi_table(columns), row_group_size=100)
    rows = np.r_[3, 70:90, 99:103, 149]
    pieces = list(parquet.read(str(path), ["spectrum.flux", "Z"], rows))
    np.testing.assert_array_equal(np.concatenate([p.rows for p in pieces]), rows)
    found = np.concatenate([p.values["spectrum.flux"] for p in pieces])
    np.testing.assert_array_equal(found, columns["spectrum_flux"][rows])
    assert all(len(p.rows) <= 64 for p in pieces)


def test_a_null_spectrum_is_missing_and_the_rest_is_read(tmp_path):
    columns = desi_columns(3)
    whole = spectrum(columns)
    rows = [whole[0].as_py(), None, whole[2].as_py()]
    write_hats(tmp_path / "desi", desi_table(columns, spectrum=pa.array(rows, whole.type)))
    galaxies = list(galaxies_of("mmu-desi-hats", tmp_path / "desi").values())
    assert [g.flux_L is None for g in galaxies] == [False, True, False]
    np.testing.assert_array_equal(galaxies[2].flux_L, columns["spectrum_flux"][2])


def test_collection_without_its_margin(tmp_path):
    write_hats(tmp_path / "all" / "desi", desi_table(desi_columns(3)))
    write_hats(tmp_path / "all" / "desi_10arcs", desi_table(desi_columns(3, 2)), kind="margin")
    (tmp_path / "all" / "collection.properties").write_text("hats_primary_table_url=desi\n")
    assert len(read_all(opened("mmu-desi-hats", tmp_path / "all"))[0]) == 3
    with pytest.raises(InputError, match="margin"):
        opened("mmu-desi-hats", tmp_path / "all" / "desi_10arcs")


def test_nested_arms_are_added(tmp_path):
    rng = np.random.default_rng(0)
    n, nested, arms = 2, {}, {}
    for arm, wave in zip("brz", ARM_WAVES.values(), strict=True):
        flux = rng.normal(3, 1, (n, len(wave))).astype("f4")
        ivar = rng.uniform(1, 2, (n, len(wave))).astype("f4")
        mask = (rng.uniform(size=(n, len(wave))) < 0.01).astype("i4") * 8
        arms[arm] = (wave, flux, ivar, mask)
        nested[f"spectra_{arm}"] = struct(
            wavelength=[wave.tolist()] * n, flux=flux.tolist(), ivar=ivar.tolist(), mask=mask.tolist()
        )
    scalars = {"targetid": [5, 6], "ra": [1.0, 2.0], "dec": [0.0, 0.0], "z": [0.5, 0.6], "zerr": [1e-4] * 2}
    write_hats(tmp_path / "desi", pa.table({**nested, **scalars, "zwarn": [0, 4]}))
    galaxies = list(galaxies_of("lsdb-desi", tmp_path / "desi").values())
    expected = join_arms(*(list(values) for values in zip(*arms.values(), strict=True)), GRID)
    for i, galaxy in enumerate(galaxies):
        np.testing.assert_allclose(galaxy.flux_L, expected[0][i], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(galaxy.ivar_L, expected[1][i], rtol=1e-6)
    assert [(g.targetid, g.redshift) for g in galaxies] == [(5, 0.5), (6, None)]


def test_sparcl_records_of_different_surveys(tmp_path):
    boss = 10 ** (3.56 + 1e-4 * np.arange(4000))
    table = pa.table(
        {
            "sparcl_id": ["a-1", "b-2"],
            "ra": [10.0, 11.0],
            "dec": [1.0, 1.0],
            "targetid": pa.array([7, None], pa.int64()),
            "redshift": [0.3, 2.0],
            "redshift_err": [1e-4, 1e-4],
            "redshift_warning": [0, 0],
            "wavelength": [GRID.tolist(), boss.tolist()],
            "flux": [[1.0] * len(GRID), [2.0] * len(boss)],
            "ivar": [[4.0] * len(GRID), [9.0] * len(boss)],
            "mask": [[0] * len(GRID), [0] * len(boss)],
        }
    )
    pq.write_table(table, tmp_path / "export.parquet")
    first, second = galaxies_of("sparcl", tmp_path / "export.parquet").values()
    assert (first.targetid, second.targetid, second.redshift) == (7, None, 2.0)
    assert (first.ivar_L == 4).all()
    inside = (GRID > boss[1]) & (GRID < boss[-2])
    np.testing.assert_allclose(second.flux_L[inside], 2, rtol=1e-6)


def test_files_on_another_file_system(tmp_path):
    columns = desi_columns(2)
    path = write_hats(tmp_path / "desi", desi_table(columns))
    with fsspec.open("memory://hats/dataset/Norder=4/Dir=0/Npix=1.parquet", "wb") as file:
        file.write(path.read_bytes())
    galaxies = galaxies_of("mmu-desi-hats", "memory://hats")
    np.testing.assert_array_equal([g.flux_L for g in galaxies.values()], columns["spectrum_flux"])
