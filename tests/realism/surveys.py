"""Small synthetic surveys and reference files for the realism tests, without simulator and Ray.

Shape suffixes: N galaxies, C bands, H and W pixels, L wavelength samples, J lines.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from mmae.astro.lines import LINE_NAMES
from mmae.realism.reference import COADD_FILES, HSC_FILE, LINES_FILE, ZCOSMOS_FILE
from mmae.realism.simulator import Simulator
from mmae.report.contents import Cell, Section
from mmae.survey.schema import SPLITS, Galaxy, SurveySpec, to_table
from mmae.survey.store import Shard, Survey, TruthShard, open_survey, write_manifest, write_shard
from tests.ingest.files import write_coadd, write_redrock

TYPES = ("passive", "star_forming", "quasar")
CLASSES = {"passive": "LRG", "star_forming": "BGS", "quasar": "QSO"}


def table_rows(section: Section, name: str) -> list[dict[str, Cell]]:
    """Rows of a table: column name -> cell."""
    table = next(t for t in section.tables if t.name == name)
    return [dict(zip((c.name for c in table.columns), row, strict=True)) for row in table.rows]


def magnitudes(redshift_N: np.ndarray, rng: np.random.Generator, noise: float = 0.02) -> np.ndarray:
    """Magnitudes (N, 5) from a simple relation of colours and redshift."""
    i_N = 17.5 + 3 * np.minimum(redshift_N, 1.5) + rng.normal(0, 0.7, redshift_N.size)
    colours_N4 = np.stack(
        [1.5 * np.minimum(redshift_N, 0.5), 0.4 * redshift_N, 0.2 + 0.1 * redshift_N, 0.1 + 0.05 * redshift_N], axis=1
    )
    mag_NC = np.stack(
        [
            i_N + colours_N4[:, 1] + colours_N4[:, 0],
            i_N + colours_N4[:, 1],
            i_N,
            i_N - colours_N4[:, 2],
            i_N - colours_N4[:, 2] - colours_N4[:, 3],
        ],
        axis=1,
    )
    return mag_NC + rng.normal(0, noise, mag_NC.shape)


def line_widths(n: int, rng: np.random.Generator) -> np.ndarray:
    """(N, 6) equivalent widths in Angstrom, in the order of LINE_NAMES; correlated."""
    strength_N = rng.normal(0, 0.35, n)
    centre_J = np.log10([13.0, 4.3, 2.1, 18.4, 6.6, 3.7])
    return 10 ** (centre_J + strength_N[:, None] + rng.normal(0, 0.15, (n, 6)))


def gaussian_image(spec: SurveySpec, mag_C: np.ndarray, size: int, sigma: float = 2.5) -> np.ndarray:
    """(C, size, size) noise-free counts of a round Gaussian of total AB magnitudes mag_C."""
    y_HW, x_HW = np.mgrid[:size, :size] - (size - 1) / 2
    unit_HW = np.exp(-(x_HW**2 + y_HW**2) / (2 * sigma**2)) / (2 * np.pi * sigma**2)
    return 10 ** (0.4 * (spec.zero_point - mag_C))[:, None, None] * unit_HW


def make_survey(
    folder: Path, n: int = 300, *, truth: bool = True, size: int = 64, seed: int = 0, spectra: bool = True
) -> Survey:
    """A survey of n synthetic objects in all three splits."""
    rng = np.random.default_rng(seed)
    spec = SurveySpec(image_size=size)
    kind_N = rng.choice(TYPES, n, p=(0.2, 0.65, 0.15))
    redshift_N = np.where(kind_N == "quasar", rng.uniform(0.5, 3.5, n), rng.gamma(3, 0.08, n) + 0.03)
    mag_NC = magnitudes(redshift_N, rng)
    galaxies = [
        Galaxy(
            object_id=f"sim-{seed}-{row:07d}",
            redshift=float(redshift_N[row]),
            redshift_err=1e-4,
            image_CHW=_image(spec, mag_NC[row], rng),
            flux_L=_flux(spec, rng) if spectra else None,
            ivar_L=np.full(spec.n_wavelengths, 4.0, np.float32) if spectra else None,
            cmodel_mag_C=(mag_NC[row] + rng.normal(0, 0.01, 5)).astype(np.float32),
            morphtype="PSF" if kind_N[row] == "quasar" else "EXP",
        )
        for row in range(n)
    ]
    split_N = rng.choice(SPLITS, n, p=(0.7, 0.15, 0.15))
    shards = []
    for split in SPLITS:
        members = [g for g, s in zip(galaxies, split_N, strict=True) if s == split]
        table = to_table(members, [split] * len(members), spec)
        digest = write_shard(table, folder / split / "00000.parquet")
        shards.append(Shard(f"{split}/00000.parquet", split, len(members), digest))
    truth_shards = ()
    if truth:
        table = truth_table(kind_N, redshift_N, mag_NC, [g.object_id for g in galaxies], split_N, rng)
        digest = write_shard(table, folder / "truth" / "000000.parquet")
        truth_shards = (TruthShard("truth/000000.parquet", n, digest),)
    write_manifest(
        Survey(folder, spec, {"sources": [{"name": "synthetic"}]}, {}, "synthetic", tuple(shards), truth_shards)
    )
    return open_survey(folder)


def truth_table(
    kind_N: np.ndarray,
    redshift_N: np.ndarray,
    mag_NC: np.ndarray,
    names: list[str],
    split_N: np.ndarray,
    rng: np.random.Generator,
) -> pa.Table:
    """Truth table with the columns of the report, rows in random order."""
    width_NJ = line_widths(len(names), rng)
    quasar_N = kind_N == "quasar"
    columns = {
        "object_id": names,
        "split": split_N.tolist(),
        "galaxy_type": kind_N.tolist(),
        "target_class": [CLASSES[k] for k in kind_N],
        "redshift_true": redshift_N,
        "catastrophic": np.zeros(len(names), bool),
        **{f"{b}_mag": mag_NC[:, c] for c, b in enumerate("grizy")},
        **{f"{name}_ew": pa.array(width_NJ[:, j], mask=quasar_N) for j, name in enumerate(LINE_NAMES)},
    }
    table = pa.table(columns)
    return table.take(pa.array(rng.permutation(len(names))))


def fake_simulator(survey: Survey, objects, **changes) -> Simulator:
    """Simulator that returns magnitudes of the truth table; `changes` replace fields."""
    mag = {
        name: np.array([objects.truth[f"{b}_mag"][n] for b in objects.bands])
        for n, name in enumerate(objects.object_id_N.tolist())
    }
    prefix = next(iter(mag)).rsplit("-", 1)[0]
    simulator = Simulator(
        simulate=lambda row: mag[f"{prefix}-{row:07d}"],
        mag_C=lambda truth: truth,
        target_image=lambda truth, size: gaussian_image(survey.spec, truth, size),
        total_spectrum=None,
        subaru_mag_C=lambda truth: truth[:4] + np.array([0.1, 0.0, 0.0, 0.0]),
        line_spread=lambda wavelength_L: np.full(wavelength_L.shape, 0.7),
    )
    return dataclasses.replace(simulator, **changes)


def write_reference(folder: Path, seed: int = 5) -> Path:
    """Files in the layout of shared/data/galaxies."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    spec = SurveySpec()
    image_NCHW = np.stack([_image(spec, np.full(5, 20.0), rng) for _ in range(14)])
    weight_NCHW = np.zeros_like(image_NCHW)
    weight_NCHW[:, :, 20:44, 20:44] = np.square(spec.band_noise)[:, None, None] ** -1.0
    np.savez(folder / HSC_FILE, image=image_NCHW, weight=weight_NCHW, parent=np.arange(14) // 2)
    write_zcosmos(folder, rng)
    width_NJ = line_widths(1500, rng)
    columns = {"z": rng.uniform(0.06, 0.3, 1500)}
    for j, name in enumerate(LINE_NAMES):
        columns |= {f"ew_{name}": width_NJ[:, j], f"ew_ivar_{name}": np.full(1500, 4.0)}
    pq.write_table(pa.table(columns), folder / LINES_FILE)
    for k, (coadd, labels) in enumerate(COADD_FILES.items()):
        target = np.arange(3 - k) + 100 * k
        write_coadd(folder / coadd, target)
        write_redrock(folder / labels, target, np.full(target.size, 0.4))
    return folder


def write_zcosmos(folder: Path, rng: np.random.Generator, n: int = 1200) -> None:
    """zCOSMOS table of galaxies with the colours of `magnitudes`, and rows that must be excluded."""
    redshift_N = rng.gamma(3, 0.1, n) + 0.03
    mag_NC = magnitudes(redshift_N, rng)
    confidence_N = rng.choice([3.5, 4.5, 4.1], n)
    confidence_N[:60], redshift_N[:60] = 1.5, 0.9  # not secure
    confidence_N[60:90], redshift_N[60:90] = 4.4, 0.0  # stars
    mag_NC[100:140, 0] = -99.9
    names = ("g_photzi25", "r_photzi25", "ic_photzi25", "z_photzi25")
    table = {
        "zpec": redshift_N,
        "cc": confidence_N,
        "mag_sel": mag_NC[:, 2],
        **{name: mag_NC[:, c] for c, name in enumerate(names)},
    }
    pyarrow.csv.write_csv(pa.table(table), folder / ZCOSMOS_FILE)


def _image(spec: SurveySpec, mag_C: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    noise_CHW = rng.normal(size=spec.image_shape) * np.array(spec.band_noise)[:, None, None]
    return (gaussian_image(spec, mag_C, spec.image_size) + noise_CHW).astype(np.float32)


def _flux(spec: SurveySpec, rng: np.random.Generator) -> np.ndarray:
    return rng.normal(2.0, 0.5, spec.n_wavelengths).astype(np.float32)  # ivar 4
