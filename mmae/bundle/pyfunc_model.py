"""The MLflow model of a bundle, as code: MLflow runs this file instead of unpickling a model.

The table has one row a galaxy and at least one of the columns `image` (nested lists of the bands, rows and columns of
pixels), `flux` with `ivar` (lists) and `magnitudes`, also with `magnitude_errors` (lists, one number per band), in the
units and on the grids of the bundle; null: missing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

import mmae
from mmae.bundle.bundle import Bundle
from mmae.core.errors import InputError

IMAGE, FLUX, IVAR = "image", "flux", "ivar"
MAGNITUDES, ERRORS = "magnitudes", "magnitude_errors"


class BundleModel(PythonModel):
    """Predicts the scalars of `Predictions`, p(z) and the embedding."""

    def load_context(self, context: Any) -> None:
        self.bundle = mmae.load(context.artifacts["bundle"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        return predict_table(self.bundle, model_input)


def predict_table(bundle: Bundle, table: pd.DataFrame) -> pd.DataFrame:
    """Predictions for the rows of a table, with p(z) and embeddings as lists.

    Raises:
        InputError: an array has another shape than the bundle's, or no column is one of those above.
    """
    spec = bundle.spec
    images = _stacked(table, IMAGE, (spec.n_bands, spec.image_size, spec.image_size))
    flux = _stacked(table, FLUX, (spec.n_wavelengths,))
    ivar = _stacked(table, IVAR, (spec.n_wavelengths,))
    found = bundle.predict(
        images,
        flux,
        ivar=ivar,
        wavelength=None if flux is None else bundle.wavelength,
        magnitudes=_stacked(table, MAGNITUDES, (spec.n_bands,)),
        magnitude_errors=_stacked(table, ERRORS, (spec.n_bands,)),
        **bundle.image_grid,
    )
    columns = {}
    for name, array in vars(found).items():
        if name != "pz_edges" and array is not None:
            columns[name] = list(array.astype(float)) if array.ndim > 1 else array
    return pd.DataFrame(columns, index=table.index)


def _stacked(table: pd.DataFrame, name: str, shape: tuple[int, ...]) -> np.ndarray | None:
    """A column of arrays as one array (N, *shape), NaN where it is null; None if there is no such column."""
    if name not in table.columns:
        return None
    whole = np.full((len(table), *shape), np.nan, np.float32)
    for row, value in enumerate(table[name]):
        if value is None or (isinstance(value, float) and np.isnan(value)):
            continue
        array = np.array(value.tolist() if isinstance(value, np.ndarray) else value, np.float32)
        if array.shape != shape:
            raise InputError(f"row {row}: {name} has shape {array.shape}, expected {shape}.")
        whole[row] = array
    return whole


set_model(BundleModel())
