"""A small survey, a small bundle with random weights, and a prediction job in this process."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file

import mmae
from mmae.bundle.files import CONFIG, WEIGHTS, Description, sha256
from mmae.catalogue import job
from mmae.catalogue.config import PredictConfig
from mmae.catalogue.job import Catalogue, write_catalogue
from mmae.catalogue.model import load_any
from mmae.catalogue.source import Input, open_input
from mmae.inference.fit_flags import save_flags
from mmae.inference.flags import FILE
from mmae.loader.collate import input_spec
from mmae.model.build import build_model
from mmae.survey.schema import Galaxy, SurveySpec, to_table
from mmae.survey.store import Shard, Survey, content_hash, write_manifest, write_shard
from tests.bundle.bundles import strict_limits
from tests.model.galaxies import TINY

SPEC = SurveySpec(
    bands=("g", "r"),
    image_size=16,
    n_wavelengths=50,
    wavelength_start=4000.0,
    wavelength_step=60.0,
    band_noise=(0.05, 0.1),
    arcsinh_mean=(1.5, 1.8),
    arcsinh_std=(1.8, 1.9),
)
SHARD = 20  # rows


def galaxy(number: int, **changes: Any) -> Galaxy:
    """A galaxy of a field of three degrees around RA 0; every fifth has no spectrum, every seventh no image."""
    rng = np.random.default_rng(number)
    y_HW, x_HW = np.mgrid[:16, :16] - 7.5
    image = rng.uniform(1, 5, (2, 1, 1)) * np.exp(-(x_HW**2 + y_HW**2) / rng.uniform(8, 30))
    flux = rng.uniform(0.5, 3) + rng.normal(0, 0.5, 50)
    values = Galaxy(
        f"g{number:05d}",
        ra=float(rng.uniform(-1.5, 1.5) % 360),
        dec=float(rng.uniform(-1.5, 1.5)),
        redshift=float(rng.uniform(0, 3)),
        image_CHW=None if number % 7 == 6 else (image + rng.normal(0, 0.05, (2, 16, 16))).astype(np.float32),
        flux_L=None if number % 5 == 4 else flux.astype(np.float32),
        ivar_L=None if number % 5 == 4 else rng.uniform(1, 6, 50).astype(np.float32),
    )
    return replace(values, **changes)


def write_survey(
    folder: Path,
    galaxies: Sequence[Galaxy],
    spec: SurveySpec = SPEC,
    shard: int = SHARD,
    splits: Sequence[str] = ("test",),
) -> Path:
    """A survey with shards of these splits in turns."""
    shards = []
    for start in range(0, len(galaxies), shard):
        some = [replace(g) for g in galaxies[start : start + shard]]
        split = splits[start // shard % len(splits)]
        path = f"{split}/{start // shard:06d}.parquet"
        table = to_table(some, [split] * len(some), spec)
        shards.append(Shard(path, split, len(some), write_shard(table, folder / path)))
    write_manifest(Survey(folder, spec, {}, {}, content_hash(spec, shards), tuple(shards)))
    return folder


def write_small_bundle(
    folder: Path, spec: SurveySpec = SPEC, seed: int = 0, warnings: bool = True, **changes: Any
) -> Path:
    """A bundle of a small model with random weights.

    Args:
        warnings: whether it has limits of warnings, by which every galaxy has one, and those with an image alone two.
    """
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    config = replace(TINY, **changes)
    model = build_model(config, input_spec(spec))
    save_file(model.state_dict(), folder / WEIGHTS)
    limits_hash = None
    if warnings:
        save_flags(strict_limits(model), folder)
        limits_hash = sha256(folder / FILE)
    description = Description(mmae.__version__, sha256(folder / WEIGHTS), config, model.spec, {}, limits_hash)
    (folder / CONFIG).write_text(description.to_json())
    return folder


def options(bundle: Path, survey: Path | str, out: Path, **changes: Any) -> PredictConfig:
    config = PredictConfig(str(bundle), str(survey), out, batch_size=8, piece_rows=SHARD, partition_rows=30)
    return replace(config, **changes)


def given_of(config: PredictConfig) -> Input:
    bundle = load_any(Path(config.model))
    return open_input(
        config.survey,
        bundle.spec,
        bundle.modalities,
        use=config.use,
        splits=config.splits,
        piece_rows=config.piece_rows,
    )


def in_turn(jobs, work, workers=None) -> Iterator:
    return map(work, jobs)


def pieces_in_turn(jobs, make) -> Iterator:
    return map(make(), jobs) if jobs else iter(())


def predict_here(
    config: PredictConfig, run_pieces=pieces_in_turn, run=in_turn, console=None, page: bool = False
) -> Catalogue:
    """The job without Ray and, unless wanted, without its page, which takes a second."""
    model = Path(config.model)
    console = console or Console(file=io.StringIO(), width=200)
    with pytest.MonkeyPatch.context() as patch:
        if not page:
            patch.setattr(job, "write_page", lambda folder, *_: folder / "report" / "report.html")
        return write_catalogue(config, model, load_any(model), given_of(config), console, run_pieces, run, threads=1)


def content(folder: Path) -> dict[str, bytes]:
    """The bytes of all files of a catalogue, without its page, which has the time of its writing."""
    files = [path for path in folder.rglob("*") if path.is_file() and "report" not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


class Killed(BaseException):
    """Ends a job as a kill does: nothing in the project catches it."""


def killing(*_):
    raise Killed
