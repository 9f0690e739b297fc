"""The galaxies of `benchmarks.models.real_sky`: real spectra, chosen simulated rows, and changed copies of them.

Every sample is a survey in a folder of the output, built once without Ray. Legend of suffixes: mmae/model/batch.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from astropy.io import fits

from mmae.core.errors import InputError
from mmae.core.tasks import in_processes
from mmae.ingest.build import build_survey
from mmae.ingest.config import SplitConfig
from mmae.ingest.readers.desi import desi_source
from mmae.ingest.sources.source import source_of
from mmae.model.batch import Batch
from mmae.realism.reference import COADD_FILES
from mmae.simulation.config import SimulationConfig, Variety
from mmae.simulation.holdout.source import holdout_source
from mmae.simulation.population import FIELD
from mmae.simulation.source import RowLight, draw_light, read_chunk, simulation_source
from mmae.survey.schema import SurveySpec
from mmae.survey.source import Source
from mmae.survey.store import MANIFEST, Survey, open_survey

TEST_ONLY = SplitConfig(fractions=(0.0, 0.0, 1.0))
SEED = 2929  # of the simulated rows: other galaxies than those of any survey with a seed below
CHUNK_ROWS = 64
BOSS, RESIDUALS = "boss/spec-*.fits", "residuals"


def built(folder: Path, make: Callable[[], list[Source]], workers: int | None) -> Survey:
    """The survey in the folder, built for tests only if it does not exist."""
    if (folder / MANIFEST).exists():
        return open_survey(folder)
    return build_survey(make(), folder, TEST_ONLY, workers, in_processes)


# --- real spectra --------------------------------------------------------------------------------


def real_spectra(data: Path, folder: Path, workers: int | None) -> Survey:
    """The BOSS and DESI spectra of the data folder, on the DESI grid, without images."""

    def sources() -> list[Source]:
        boss = source_of("sdss-spec", [str(data / BOSS)], workers=workers, run=in_processes)
        coadds = [desi_source([data / coadd], [data / table]) for coadd, table in COADD_FILES.items()]
        # BOSS files have a further column, and the shards of a survey have the same columns.
        return [*(replace(coadd, spec=boss.spec) for coadd in coadds), boss]

    return built(folder, sources, workers)


def classes(data: Path) -> dict[str, str]:
    """object_id -> GALAXY, QSO or STAR, as the pipelines of BOSS and DESI say."""
    found = {}
    for path in sorted(data.glob(BOSS)):
        with fits.open(path) as hdus:
            found[path.stem] = str(hdus[2].data["CLASS"][0]).strip()
    for table in COADD_FILES.values():
        with fits.open(data / table) as hdus:
            rows = hdus[1].data
            spectype = rows["SPECTYPE"] if "SPECTYPE" in rows.names else ["QSO"] * len(rows)  # a quasar catalogue
            found |= {str(t): str(s).strip() for t, s in zip(rows["TARGETID"], spectype, strict=True)}
    return found


def residual_spectra(data: Path, folder: Path, workers: int | None) -> Survey:
    """Real BOSS spectra minus the best-fitting model of the BOSS pipeline: real noise and sky residuals, no source."""

    def sources() -> list[Source]:
        inputs = folder.with_name(f"{folder.name}-input")
        inputs.mkdir(parents=True, exist_ok=True)
        for path in sorted(data.glob(BOSS)):
            with fits.open(path) as hdus:
                hdus[1].data["FLUX"] -= hdus[1].data["MODEL"]
                hdus[2].data["ZWARNING"] = 1  # no label
                hdus.writeto(inputs / path.name, overwrite=True)
        return [source_of("sdss-spec", [str(inputs / "spec-*.fits")], workers=workers, run=in_processes)]

    return built(folder, sources, workers)


# --- simulated rows ------------------------------------------------------------------------------

Wanted = Callable[[RowLight], bool]


def chosen_rows(config: SimulationConfig, n: int, wanted: Wanted) -> list[int]:
    """The first n rows of a simulated survey that are wanted.

    Raises:
        InputError: the survey has fewer.
    """
    rows: list[int] = []
    n_bands = len(SurveySpec().bands)
    for row in range(config.galaxies):
        if len(rows) == n:
            return rows
        if wanted(draw_light(row, config, n_bands)):
            rows.append(row)
    raise InputError(f"{len(rows)} of {config.galaxies} simulated rows are wanted, not {n}.")


def chosen_source(config: SimulationConfig, n: int, wanted: Wanted) -> Source:
    """The first n wanted rows of a simulated survey as a source."""
    rows, spec = chosen_rows(config, n, wanted), SurveySpec()
    source = simulation_source(config, spec)
    chunks = [{"rows": rows[start : start + CHUNK_ROWS]} for start in range(0, n, CHUNK_ROWS)]
    provenance = source.provenance | {"rows": rows}
    return replace(source, provenance=provenance, chunks=chunks, read=partial(_read_rows, config=config, spec=spec))


def _read_rows(chunk, config: SimulationConfig, spec: SurveySpec):
    parts = [read_chunk({"start": row, "stop": row + 1}, config, spec) for row in chunk["rows"]]
    joined = parts[0]
    for part in parts[1:]:
        for name in ("galaxies", "where", "rejections", "truth"):
            getattr(joined, name).extend(getattr(part, name))
    return joined


def simulated(
    folder: Path, n: int, wanted: Wanted, workers: int | None, contaminants: float = 0.0, variety: float = 0.0
) -> Survey:
    """n wanted rows of the simulation, with a share of contaminants and a scale of variety."""
    config = SimulationConfig(
        galaxies=200 * n + 2000, seed=SEED, contaminant_fraction=contaminants, variety=Variety(scale=variety)
    )
    return built(folder, lambda: [chosen_source(config, n, wanted)], workers)


def is_quasar(light: RowLight, low: float, high: float) -> bool:
    return light.target.galaxy is None and low < light.target.redshift < high


def is_kind(light: RowLight, kind: str) -> bool:
    """Whether a row is a contaminant of this kind, with a spectrum."""
    return light.kind == kind and light.paired


def is_faint_field(light: RowLight, limit: float) -> bool:
    """Whether a row is a galaxy selected by i magnitude only, fainter than the limit."""
    return light.target.target_class is FIELD and light.target.magnitude > limit


def holdout(folder: Path, n: int, workers: int | None) -> Survey:
    """Galaxies of the hold-out simulation."""
    config = SimulationConfig(galaxies=n, seed=SEED)

    def sources() -> list[Source]:
        source = holdout_source(config, SurveySpec())
        starts = range(0, n, CHUNK_ROWS)
        return [replace(source, chunks=[{"start": s, "stop": min(s + CHUNK_ROWS, n)} for s in starts])]

    return built(folder, sources, workers)


# --- changed copies ------------------------------------------------------------------------------


def without_band(batch: Batch, band: int) -> Batch:
    """The band was not observed."""
    image_BCHW = batch.image_BCHW.clone()
    image_BCHW[:, band] = torch.nan
    return _with(batch, image=image_BCHW)


def without_columns(batch: Batch, band: int, fraction: float, seed: int) -> Batch:
    """Adjacent columns of one band were not observed, at a random place of each image."""
    image_BCHW = batch.image_BCHW.clone()
    width = image_BCHW.shape[-1]
    missing = round(fraction * width)
    for row, start in enumerate(np.random.default_rng(seed).integers(0, width - missing + 1, len(batch))):
        image_BCHW[row, band, :, start : start + missing] = torch.nan
    return _with(batch, image=image_BCHW)


def fainter(batch: Batch, magnitudes: float, noise_C: tuple[float, ...], seed: int) -> Batch:
    """Images of the same objects fainter by `magnitudes`, with the sky noise of before."""
    factor = 10 ** (-0.4 * magnitudes)
    generator = torch.Generator().manual_seed(seed)
    noise_BCHW = torch.randn(batch.image_BCHW.shape, generator=generator) * torch.tensor(noise_C)[:, None, None]
    return _with(batch, image=factor * batch.image_BCHW + (1 - factor**2) ** 0.5 * noise_BCHW)


def shifted(batch: Batch, samples: int) -> Batch:
    """Spectra with wavelengths that are wrong by a number of samples; samples that leave the range are lost."""
    flux_BL, ivar_BL = (x_BL.roll(samples, -1) for x_BL in (batch.flux_BL, batch.ivar_BL))
    lost = slice(None, samples) if samples > 0 else slice(samples, None)
    flux_BL[:, lost] = ivar_BL[:, lost] = 0.0
    return _with(batch, flux=flux_BL, ivar=ivar_BL)


def noise_only(batch: Batch, seed: int) -> Batch:
    """Spectra of Gaussian noise with the errors of the given ones."""
    generator = torch.Generator().manual_seed(seed)
    sigma_BL = batch.ivar_BL.clamp(min=1e-30).rsqrt().where(batch.ivar_BL > 0, 0.0)
    return _with(batch, flux=sigma_BL * torch.randn(sigma_BL.shape, generator=generator))


def empty_images(batch: Batch, noise_C: tuple[float, ...], seed: int) -> Batch:
    """Images of uncorrelated sky noise."""
    generator = torch.Generator().manual_seed(seed)
    noise_BCHW = torch.randn(batch.image_BCHW.shape, generator=generator) * torch.tensor(noise_C)[:, None, None]
    return _with(batch, image=noise_BCHW)


def _with(batch: Batch, **values: torch.Tensor) -> Batch:
    return replace(batch, values=batch.values | values)
