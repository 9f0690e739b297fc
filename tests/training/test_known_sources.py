"""From the files of each known source to a model trained for two steps, without Ray."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from astropy.io import fits

from mmae.config import OptimConfig, RunConfig
from mmae.ingest.build import build_survey
from mmae.ingest.pairing.config import PairConfig
from mmae.ingest.pairing.source import paired_source
from mmae.ingest.readers.desi import desi_source
from mmae.ingest.sources.description import known_names
from mmae.ingest.sources.source import source_of
from mmae.loader.collate import galaxy_columns, input_spec, to_batch
from mmae.model.config import MMAEConfig, ModalitiesConfig
from mmae.model.part_configs import ImageConfig, MagnitudesConfig, SpectrumConfig
from mmae.survey.store import Survey
from mmae.training.step import create_state, training_step
from tests.ingest.files import ARM_WAVES, write_coadd, write_redrock
from tests.ingest.layouts.test_desi_spectra import write_exposures
from tests.ingest.layouts.test_parquet import desi_table, image, spectrum, struct, write_hats
from tests.ingest.small import in_turn
from tests.ingest.sources import mmu
from tests.ingest.sources.read import table, write_spec
from tests.ingest.test_hats import COLLECTION

N = 4
TINY = MMAEConfig(
    modalities=ModalitiesConfig(image=ImageConfig(patch=16), spectrum=SpectrumConfig(patch=512)),
    width=32,
    depth=1,
    heads=2,
    decoder_width=16,
)
RUN = RunConfig(model=TINY, optim=OptimConfig(steps=2, warmup_steps=1))


def hdf5(columns: Callable[[int], dict], folder: Path) -> None:
    mmu.partition(folder, columns(N))


def write_desi_hats(folder: Path) -> None:
    write_hats(folder, desi_table(mmu.desi_columns(N)))


def write_sdss_hats(folder: Path) -> None:
    columns = mmu.sdss_columns(N, padded=0)
    scalars = {name: pa.array(columns[name].astype("f8")) for name in ("ra", "dec", "Z", "Z_ERR")}
    ids = [str(i) for i in columns["object_id"]]
    write_hats(folder, pa.table({"spectrum": spectrum(columns), "object_id": ids, "ZWARNING": [False] * N, **scalars}))


def image_hats(columns: dict, folder: Path) -> None:
    plain = {name: values for name, values in columns.items() if values.ndim == 1 and values.dtype.kind in "if"}
    write_hats(folder, pa.table({"image": image(columns, False), **plain, "object_id": [str(i) for i in range(N)]}))


def write_lsdb(folder: Path) -> None:
    arms = {
        f"spectra_{arm}": struct(
            wavelength=[wave.tolist()] * N,
            flux=np.random.default_rng(0).normal(3, 1, (N, len(wave))).tolist(),
            ivar=np.ones((N, len(wave))).tolist(),
            mask=np.zeros((N, len(wave)), int).tolist(),
        )
        for arm, wave in zip("brz", ARM_WAVES.values(), strict=True)
    }
    numbers = {"targetid": np.arange(1, N + 1), "ra": np.arange(N) * 1.0, "dec": np.zeros(N), "z": np.ones(N)}
    write_hats(folder, pa.table({**arms, **numbers, "zerr": np.ones(N), "zwarn": np.zeros(N, int)}))


def write_sparcl(folder: Path) -> None:
    columns = mmu.desi_columns(N)
    arrays = {
        name: [row.tolist() for row in columns[f"spectrum_{theirs}"]]
        for name, theirs in (("flux", "flux"), ("ivar", "ivar"), ("wavelength", "lambda"), ("mask", "mask"))
    }
    scalars = {"sparcl_id": [str(i) for i in range(N)], "ra": columns["ra"], "dec": columns["dec"]}
    labels = {"redshift": columns["Z"], "redshift_err": columns["ZERR"], "redshift_warning": columns["ZWARN"]}
    pq.write_table(pa.table({**arrays, **scalars, **labels}), folder / "export.parquet")


def write_specs(folder: Path) -> None:
    loglam = np.float32(3.58 + 1e-4 * np.arange(3800))
    for i in range(N):
        write_spec(folder / f"spec-1-2-{i}.fits", loglam, np.full(3800, 1.0 + i), np.ones(3800), position=(i, 0.0))


def write_plate(folder: Path) -> None:
    primary = fits.PrimaryHDU(np.random.default_rng(0).normal(2, 1, (N, 3800)).astype("f4"))
    primary.header.update({"COEFF0": 3.58, "COEFF1": 1e-4, "PLATEID": 266, "MJD": 51602})
    planes = [fits.ImageHDU(np.full((N, 3800), v, t)) for v, t in ((1, "f4"), (0, "i4"), (0, "i4"), (1, "f4"))]
    columns = [("FIBERID", "J", np.arange(1, N + 1)), ("RA", "D", np.arange(N) * 1.0), ("DEC", "D", np.zeros(N))]
    targets = table([*columns, ("OBJTYPE", "16A", ["GALAXY"] * N)])
    fits.HDUList([primary, *planes, targets]).writeto(folder / "spPlate-0266-51602.fits")


def write_astroclip(folder: Path) -> None:
    rng = np.random.default_rng(0)
    with h5py.File(folder / "astroclip_desi.1.1.5.h5", "w") as file:
        for group in range(10):
            file[f"{group}/images"] = rng.normal(0.1, 0.01, (1, 152, 152, 3)).astype("f4")
            file[f"{group}/spectra"] = rng.normal(2, 1, (1, 7781, 1)).astype("f4")
            file[f"{group}/redshifts"], file[f"{group}/targetids"] = rng.uniform(0, 1, 1), np.array([group + 1])


WRITERS: dict[str, Callable[[Path], object]] = {
    "mmu-desi": partial(hdf5, mmu.desi_columns),
    "mmu-sdss": partial(hdf5, mmu.sdss_columns),
    "mmu-hsc": partial(hdf5, mmu.hsc_columns),
    "mmu-legacy": partial(hdf5, mmu.legacy_columns),
    "mmu-ssl-legacy": partial(hdf5, mmu.ssl_legacy_columns),
    "mmu-desi-hats": write_desi_hats,
    "mmu-sdss-hats": write_sdss_hats,
    "mmu-hsc-hats": lambda folder: image_hats(mmu.hsc_columns(N), folder),
    "mmu-legacy-hats": lambda folder: image_hats(mmu.legacy_columns(N), folder),
    "lsdb-desi": write_lsdb,
    "sparcl": write_sparcl,
    "sdss-spec": write_specs,
    "sdss-plate": write_plate,
    "astroclip": write_astroclip,
    "desi-spectra": lambda folder: write_exposures(folder / "spectra-1.fits", [i // 2 + 1 for i in range(2 * N)]),
}


def train(survey: Survey, run: RunConfig = RUN) -> None:
    """Two steps on all rows: finite losses, and finite weights that change."""
    shards = [pq.ParquetFile(survey.path / s.path).read(galaxy_columns(survey)) for s in survey.shards]
    batch = to_batch(pa.concat_tables(shards), survey.spec)
    state = create_state(run, input_spec(survey.spec), torch.device("cpu"))
    before = [p.detach().clone() for p in state.model.parameters()]
    for _ in range(2):
        losses, norm = training_step(state, batch, run)
        assert torch.isfinite(losses.total) and 0 < norm
    assert any(not torch.equal(old, new) for old, new in zip(before, state.model.parameters(), strict=True))
    assert all(p.isfinite().all() for p in state.model.parameters())


def test_every_source_is_trained_on():
    assert set(WRITERS) | {"mmu-provabgs"} == set(known_names())  # PROVABGS: labels only, below


@pytest.mark.parametrize("name", WRITERS)
def test_from_files_to_a_trained_model(name, tmp_path):
    (folder := tmp_path / "files").mkdir()
    WRITERS[name](folder)
    source = source_of(name, [str(folder)], run=in_turn)
    survey = build_survey([source], tmp_path / "s", run=in_turn)
    assert sum(survey.rows_per_split().values()) >= N
    train(survey)


def test_from_two_surveys_and_labels_to_a_trained_model(tmp_path):
    parts = {"mmu-desi": mmu.desi_columns, "mmu-hsc": mmu.hsc_columns, "mmu-provabgs": mmu.provabgs_columns}
    for name, columns in parts.items():
        mmu.partition(tmp_path / name, columns(N))
    config = PairConfig(sources=tuple(f"{name}={tmp_path / name}" for name in parts))
    source = paired_source(replace(config, rows_per_cell=2), tmp_path / "s", run=in_turn)
    survey = build_survey([source], tmp_path / "s", run=in_turn)
    assert sum(counts["paired"] for counts in survey.counts.values()) == N
    train(survey)


@pytest.mark.parametrize("redshifts", ["REDSHIFTS", "ZBEST"])
@pytest.mark.parametrize(
    ("name", "status"),
    [("coadd-sv3-dark-10016.fits", "COADD_FIBERSTATUS"), ("coadd-0-1000-thru20210517.fits", "FIBERSTATUS")],
)
def test_from_desi_coadds_to_a_trained_model(tmp_path, name, status, redshifts):
    targets, z = np.arange(1, N + 1), np.linspace(0.1, 1.5, N)
    write_coadd(tmp_path / name, targets, flux=2.0, ivar=4.0, **{status: np.zeros(N, int)})
    labels = write_redrock(tmp_path / "z.fits", targets, z, redshifts, ZERR=np.full(N, 1e-4), ZWARN=np.zeros(N, int))
    survey = build_survey([desi_source([tmp_path / name], [labels])], tmp_path / "s", run=in_turn)
    rows = rows_of(survey)
    np.testing.assert_allclose([rows[key]["redshift"] for key in sorted(rows)], z, rtol=1e-6)
    flux, ivar = (np.frombuffer(next(iter(rows.values()))[key], np.float32) for key in ("flux", "ivar"))
    np.testing.assert_allclose(flux[ivar > 0], 2.0, rtol=1e-6)
    assert set(np.rint(ivar)) == {4, 8}  # where arms overlap, both count
    train(survey)


def test_from_cubes_and_a_hats_catalogue_to_a_trained_model(tmp_path):
    """Legacy Surveys cubes of stars of 19, 19.5 and 20 mag, matched with a catalogue in HATS partitions."""
    (tmp_path / "cubes").mkdir()
    ra, dec = 150 + 0.1 * np.arange(N), np.full(N, 2.0)
    magnitudes = {"g": 19.0, "r": 19.5, "z": 20.0}
    image = np.stack([mmu.star(magnitude, 22.5, 96) for magnitude in magnitudes.values()])
    for i in range(N):
        noise = np.random.default_rng(i).normal(0, 1e-3, image.shape)
        cube = fits.PrimaryHDU((image + noise).astype("f4"))
        wcs = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 48.5, "CRPIX2": 48.5, "CRVAL1": ra[i]}
        scale = {"CRVAL2": dec[i], "CD1_1": -0.262 / 3600, "CD2_2": 0.262 / 3600}
        cube.header.update({"BANDS": "grz", **wcs, **scale})
        cube.writeto(tmp_path / "cubes" / f"{i}.fits")
    names = [f"object-{i}" for i in range(N)]
    write_hats(tmp_path / "hats", pa.table({"id": names, "ra": ra, "dec": dec, "z": 0.1 + 0.1 * np.arange(N)}))
    (tmp_path / "legacy.yaml").write_text(
        "bands: [g, r, z]\npixel_scale: 0.262\nzero_point: 22.5\nimages_have_zero_point: true\n"
        "catalogue: {object_id: id, redshift: z}\n"
    )
    paths = {"stamps": (str(tmp_path / "cubes"),), "catalogues": (str(tmp_path / "hats"),)}
    source = paired_source(PairConfig(**paths, description=tmp_path / "legacy.yaml"), tmp_path / "s", run=in_turn)
    survey = build_survey([source], tmp_path / "s", run=in_turn)
    rows = rows_of(survey)
    assert sorted(rows) == names
    for i, name in enumerate(names):
        pixels = np.frombuffer(rows[name]["image"], np.float32).reshape(3, -1)
        np.testing.assert_allclose(22.5 - 2.5 * np.log10(pixels.sum(axis=1)), list(magnitudes.values()), atol=0.03)
        assert rows[name]["redshift"] == pytest.approx(0.1 + 0.1 * i)
    train(survey)


@pytest.mark.skipif(not COLLECTION.is_dir(), reason=f"{COLLECTION} does not exist")
def test_from_a_real_hats_collection_to_a_trained_model(tmp_path):
    """All rows of its catalogue and none of its margin; 0 and 99 in its columns are "not measured"."""
    bands = {band: f"{band}mag" for band in "gri"}
    columns = {"object_id": "ELAIS", "ra": "RAdeg", "dec": "DEdeg", "redshift": "zbest", "missing": [0.0]}
    text = yaml.safe_dump({"catalogue": {**columns, "magnitudes": bands}})
    (tmp_path / "elais.yaml").write_text(text)
    config = PairConfig(catalogues=(str(COLLECTION),), description=tmp_path / "elais.yaml")
    source = paired_source(config, tmp_path / "s", run=in_turn)
    survey = build_survey([source], tmp_path / "s", run=in_turn)
    files = sorted((COLLECTION / "catalog").rglob("Npix=*.parquet"))
    table = pa.concat_tables([pq.ParquetFile(file).read(["zbest", *bands.values()]) for file in files])
    magnitude_NC = np.stack([table[name].fill_null(0).to_numpy() for name in bands.values()], axis=1)
    kept = ((magnitude_NC > 0) & (magnitude_NC < 99)).any(axis=1)
    z = table["zbest"].fill_null(0).to_numpy()
    counts = {key: sum(c[key] for c in survey.counts.values()) for key in ("galaxies", "magnitudes", "redshifts")}
    assert counts == {"galaxies": kept.sum(), "magnitudes": kept.sum(), "redshifts": (kept & (z > 0)).sum()}
    magnitudes = ModalitiesConfig(
        image=ImageConfig(use=False), spectrum=SpectrumConfig(use=False), magnitudes=MagnitudesConfig(use=True)
    )
    train(survey, replace(RUN, model=replace(TINY, modalities=magnitudes)))


def test_missing_pixels_and_bands_are_kept_and_trained_on(tmp_path):
    columns = mmu.hsc_columns(N)
    columns["image_mask"][0, 1, 70:90, 70:90] = False
    columns["image_ivar"][1, 3] = 0  # not observed in z
    columns["image_array"][2, 0, 60:64, 100] = np.nan  # good by mask and ivar
    columns["image_array"][2, 4, 80, 80] = np.inf
    mmu.partition(tmp_path / "hsc", columns)
    source = source_of("mmu-hsc", [str(tmp_path / "hsc")], run=in_turn)
    survey = build_survey([source], tmp_path / "s", run=in_turn)
    rows = rows_of(survey)
    found = [np.frombuffer(rows[str(name)]["image"], np.float32).reshape(5, 64, 64) for name in columns["object_id"]]
    missing = [~np.isfinite(image) for image in found]
    assert missing[0][1, 22:42, 22:42].all() and missing[0].sum() == 400
    assert missing[1][3].all() and missing[1].sum() == 64**2
    assert missing[2][0, 12:16, 52].all() and missing[2][4, 32, 32] and missing[2].sum() == 5
    assert not missing[3].any()
    train(survey)


def rows_of(survey: Survey) -> dict[str, dict]:
    tables = [pq.ParquetFile(survey.path / s.path).read() for s in survey.shards]
    return {row["object_id"]: row for table in tables for row in table.to_pylist()}
