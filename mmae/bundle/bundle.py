"""A loaded bundle: a trained model, what its input must be, and its predictions.

Shape suffixes: N galaxies, C bands, H and W pixels, L wavelengths, K redshift bins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from mmae.bundle.anomaly import SCORED, anomaly_scores
from mmae.bundle.arrays import checked_arrays
from mmae.bundle.files import Description
from mmae.bundle.predictions import LIMITS, Flag, Predictions, missing_flags, point_estimates
from mmae.bundle.warning_flags import warning_flags
from mmae.inference.flags import FlagLimits
from mmae.inference.readings import Readings, redshift_edges
from mmae.model.batch import Batch, InputSpec
from mmae.model.build import Model
from mmae.model.masking import fixed_visible
from mmae.model.part_configs import RedshiftConfig
from mmae.model.redshift import bin_edges

if TYPE_CHECKING:
    from pyarrow import Table

    from mmae.survey.store import Survey

BATCH = 256  # galaxies; a CPU gains little from more


class Bundle:
    """A trained model that predicts redshift, p(z), embedding and anomaly of galaxies.

    Attributes:
        model: in evaluation mode.
        description: contents of config.json.
        limits: of the warnings in the flags of predictions; None: they say only what was missing.
    """

    def __init__(self, model: Model, description: Description, limits: FlagLimits | None = None):
        self.model, self.description, self.limits = model, description, limits

    @property
    def spec(self) -> InputSpec:
        """Band order, grids, units and normalisation constants of the input."""
        return self.description.spec

    @property
    def image_grid(self) -> dict[str, Any]:
        """`bands`, `pixel_scale` (arcsec) and `zero_point` (AB magnitude of one count) of the images it takes."""
        return {name: getattr(self.spec, name) for name in ("bands", "pixel_scale", "zero_point")}

    @property
    def wavelength(self) -> np.ndarray:
        """The wavelengths (L,) of the spectra it takes: Angstrom, vacuum."""
        return self.spec.wavelength_start + self.spec.wavelength_step * np.arange(self.spec.n_wavelengths)

    @property
    def hash(self) -> str:
        """Hexadecimal SHA-256 of the weights: identifies the model in catalogues."""
        return self.description.weights_sha256

    @property
    def modalities(self) -> tuple[str, ...]:
        """What the model reads: image, spectrum, magnitudes."""
        return tuple(self.model.n_tokens)

    @property
    def pz_edges(self) -> np.ndarray | None:
        """Edges (K + 1,) in z of the bins of p(z), equal steps of ln(1+z); None for a model without p(z)."""
        config = self._redshift_config
        return None if config is None else np.expm1(bin_edges(config).double().numpy())

    @property
    def _redshift_config(self) -> RedshiftConfig | None:
        config = getattr(self.model.config, "redshift", None)
        return config if isinstance(config, RedshiftConfig) else None

    def to(self, device: str | torch.device) -> Bundle:
        """The same bundle with its model on another device."""
        return Bundle(self.model.to(device), self.description, self.limits)

    def predict(
        self,
        images: ArrayLike | None = None,
        spectra: ArrayLike | None = None,
        *,
        bands: Sequence[str] | None = None,
        pixel_scale: float | None = None,
        zero_point: float | None = None,
        ivar: ArrayLike | None = None,
        wavelength: ArrayLike | None = None,
        magnitudes: ArrayLike | None = None,
        magnitude_errors: ArrayLike | None = None,
        batch_size: int = BATCH,
        anomaly: bool = True,
    ) -> Predictions:
        """Predictions for N galaxies from all that is given of each. What is not given is treated as missing.

        Args:
            images: (N, C, H, W) in counts. NaN: not observed; a galaxy with NaN only has no image.
            spectra: flux (N, L) in 1e-17 erg/s/cm2/A.
            bands: names of the C bands, in order; required with images and with magnitudes.
            pixel_scale: arcsec; required with images, as is the next.
            zero_point: AB magnitude of one count.
            ivar: inverse variance of the flux, (N, L); 0 or NaN: no data. Required with spectra, as is the next.
            wavelength: of the L samples, Angstrom in vacuum.
            magnitudes: AB magnitudes (N, C) of a catalogue. NaN: not measured.
            magnitude_errors: their errors, (N, C); NaN: unknown.
            batch_size: galaxies at a time.
            anomaly: compute the anomaly scores, which take most of the time; NaN if not.

        Raises:
            InputError: one line with everything that does not fit the model.
        """
        arrays = checked_arrays(
            self.spec,
            self.modalities,
            images,
            spectra,
            bands=bands,
            pixel_scale=pixel_scale,
            zero_point=zero_point,
            ivar=ivar,
            wavelength=wavelength,
            magnitudes=magnitudes,
            magnitude_errors=magnitude_errors,
        )
        return self.predict_batches(arrays.batches(self.spec, batch_size), anomaly=anomaly)

    def predict_rows(self, rows: Table | Survey, *, batch_size: int = BATCH, anomaly: bool = True) -> Predictions:
        """Predictions for a pyarrow table with the schema of a survey, or for all splits of an open survey.

        A survey's rows are in the order of its shards. Needs pyarrow.

        Raises:
            InputError: band order, grids or units differ from those of the model; one line names the differences.
        """
        from mmae.bundle.tables import batches_of  # imported here: arrays need no pyarrow

        return self.predict_batches(batches_of(rows, self.spec, self.modalities, batch_size), anomaly=anomaly)

    def predict_batches(self, batches: Iterable[Batch], *, anomaly: bool = True) -> Predictions:
        """Predictions for all galaxies of one or more batches."""
        return Predictions.joined([self.predict_batch(batch, anomaly=anomaly) for batch in batches])

    @torch.inference_mode()
    def predict_batch(self, batch: Batch, *, anomaly: bool = True) -> Predictions:
        """Predictions for the galaxies of one batch, on any device."""
        flags_B = missing_flags(batch, self.modalities)
        present = {name: batch.present[name].cpu().numpy() for name in self.modalities}
        batch = batch.to(next(self.model.parameters()).device)
        visible = fixed_visible(batch, self.model.n_tokens, self.modalities)
        (reading,) = self.model.read(batch, [visible])
        nan_B = torch.full((len(batch),), torch.nan)
        config = self._redshift_config
        if config is None or reading.logits_BZ is None:
            points = dict.fromkeys((*LIMITS, "z_mean", "z_mode"), nan_B) | {"z_median": reading.redshift_B}
        else:
            points = point_estimates(reading.logits_BZ, config)
        errors = anomaly_scores(self.model, batch) if anomaly else dict.fromkeys(SCORED, nan_B)
        found = points | {f"anomaly_{name}": errors[name] for name in SCORED} | {"embedding": reading.embedding_BD}
        arrays = {name: value.float().cpu().numpy() for name, value in found.items()}
        arrays["anomaly"] = np.fmax(arrays["anomaly_image"], arrays["anomaly_spectrum"])
        pz = None if reading.probability_BK is None else reading.probability_BK.float().cpu().numpy()
        empty_B = flags_B & Flag.NO_INPUT != 0
        if self.limits is not None:
            point_B = reading.redshift_B.float().cpu().numpy().astype(float)
            read = Readings(~empty_B, point_B, pz, redshift_edges(self.model), arrays["embedding"])
            flags_B |= warning_flags(self.limits, present, read)
        for array in (*arrays.values(), pz):
            if array is not None:
                array[empty_B] = np.nan
        return Predictions(**arrays, pz=pz, pz_edges=self.pz_edges, flags=flags_B)
