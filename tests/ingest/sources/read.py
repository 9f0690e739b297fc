"""Reading of known sources in this process, for the tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from mmae.ingest.sources.source import source_of
from mmae.survey.schema import Galaxy, Rejection
from mmae.survey.source import Source
from tests.ingest.files import read_all
from tests.ingest.small import in_turn


def opened(name: str, *inputs: Path | str, **options: Any) -> Source:
    return source_of(name, [str(path) for path in inputs], run=in_turn, **options)


def galaxies_of(name: str, *inputs: Path | str, **options: Any) -> dict[str, Galaxy]:
    """The galaxies by their ids."""
    galaxies, _, _ = read_all(opened(name, *inputs, **options))
    assert len({g.object_id for g in galaxies}) == len(galaxies)
    return {g.object_id: g for g in galaxies}


def rejected(name: str, *inputs: Path | str, **options: Any) -> list[Rejection]:
    return read_all(opened(name, *inputs, **options))[2]


def write_spec(
    path: Path,
    loglam: np.ndarray,
    flux: np.ndarray,
    ivar: np.ndarray,
    *,
    z: float = 0.5,
    zwarning: int = 0,
    and_mask: np.ndarray | None = None,
    vacuum: bool | None = True,
    catalogue: str = "SPALL",
    position: tuple[float, float] = (150.0, 2.0),
) -> Path:
    """A spectrum in the layout of spec-<plate>-<mjd>-<fiber>.fits."""
    primary = fits.PrimaryHDU()
    primary.header["PLUG_RA"], primary.header["PLUG_DEC"] = position
    if vacuum is not None:
        primary.header["VACUUM"] = vacuum
    zeros = np.zeros(len(loglam), np.int32)
    samples = [
        fits.Column("flux", "E", array=flux),
        fits.Column("loglam", "E", array=loglam),
        fits.Column("ivar", "E", array=ivar),
        fits.Column("and_mask", "J", array=zeros if and_mask is None else and_mask),
        fits.Column("or_mask", "J", array=zeros),
        fits.Column("wdisp", "E", array=np.full(len(loglam), 1.1)),
        fits.Column("sky", "E", array=zeros),
        fits.Column("model", "E", array=flux),
    ]
    row = [
        fits.Column("PLUG_RA", "D", array=[position[0]]),
        fits.Column("PLUG_DEC", "D", array=[position[1]]),
        fits.Column("CLASS", "6A", array=["GALAXY"]),
        fits.Column("Z", "E", array=[z]),
        fits.Column("Z_ERR", "E", array=[1e-4]),
        fits.Column("ZWARNING", "J", array=[zwarning]),
    ]
    tables = [fits.BinTableHDU.from_columns(samples, name="COADD"), fits.BinTableHDU.from_columns(row, name=catalogue)]
    fits.HDUList([primary, *tables]).writeto(path, overwrite=True)
    return path


def table(columns: Sequence[tuple[str, str, Any]], name: str = "") -> fits.BinTableHDU:
    return fits.BinTableHDU.from_columns([fits.Column(n, f, array=np.asarray(v)) for n, f, v in columns], name=name)
