"""Write a list of galaxies as Parquet, FITS and VOTable, with units and descriptions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from astropy.table import MaskedColumn, Table

from mmae.catalogue.hats_files import write_parquet
from mmae.core.files import partial_path

ASTROPY_FORMATS = {"fits": "fits", "vot": "votable"}  # by suffix


@dataclass(frozen=True)
class Field:
    """A column of a list: its values (one per galaxy; missing: NaN, or masked), what it means, and its unit."""

    values: np.ndarray
    description: str
    unit: str = ""


def write_list(folder: Path, stem: str, fields: Mapping[str, Field]) -> list[Path]:
    """Write STEM.parquet, STEM.fits and STEM.vot, and return their paths.

    Missing values are null in Parquet and masked in the other formats.
    """
    arrays = {name: _array(field.values) for name, field in fields.items()}
    schema = pa.schema(
        [
            pa.field(name, arrays[name].type, metadata={"unit": field.unit, "description": field.description})
            for name, field in fields.items()
        ]
    )
    paths = [folder / f"{stem}.parquet"]
    write_parquet(pa.table(list(arrays.values()), schema=schema), paths[0])
    table = Table({name: _column(name, field) for name, field in fields.items()})
    for suffix, kind in ASTROPY_FORMATS.items():
        path = folder / f"{stem}.{suffix}"
        unfinished = partial_path(path)
        table.write(unfinished, format=kind)
        unfinished.rename(path)
        paths.append(path)
    return paths


def _array(values: np.ndarray) -> pa.Array:
    if isinstance(values, np.ma.MaskedArray):
        return pa.array(values.data, mask=np.ma.getmaskarray(values))
    return pa.array(values, from_pandas=True)


def _column(name: str, field: Field) -> MaskedColumn:
    values = field.values.astype(str) if field.values.dtype == object else field.values
    if values.dtype.kind == "f":
        values = np.ma.masked_invalid(values)
    return MaskedColumn(values, name=name, unit=field.unit or None, description=field.description)
