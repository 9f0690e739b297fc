"""The rows of a catalogue: their columns and how predictions become rows.

Redshifts are named `{algorithm}_z_{estimate}`, as in the photometric redshifts of Rubin's Data Preview 1
(SITCOMTN-154, appendix A): err68_low and err68_high are the 16th and 84th percentile of p(z), err95_low and err95_high
the 2.5th and 97.5th. The prefix keeps the names apart from those of a catalogue with which this one is joined.

Shape suffixes: N galaxies, D width of the embedding, K bins of p(z), Q knots of p(z), F fluxes of a modality.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

import mmae
from mmae.bundle.bundle import Bundle
from mmae.bundle.predictions import MEANING, Flag, Predictions, possible_flags
from mmae.catalogue.fluxes import INTERVALS, RADII
from mmae.catalogue.pz_code import KNOTS, STEPS, encode_pz

KEY = b"mmae.catalogue"
FORMAT = "mmae-catalogue-1"
SPATIAL = "_healpix_29"
REDSHIFTS = {
    "mmae_z_median": "z_median",
    "mmae_z_mean": "z_mean",
    "mmae_z_mode": "z_mode",
    "mmae_z_err68_low": "z_low68",
    "mmae_z_err68_high": "z_high68",
    "mmae_z_err95_low": "z_low95",
    "mmae_z_err95_high": "z_high95",
}
"""Columns, and their names in `Predictions`."""
PZ_EDGE, PZ_CDF, EMBEDDING, ANOMALY, FLAGS, IN_TRAINING = (
    "mmae_pz_edge",
    "mmae_pz_cdf",
    "mmae_embedding",
    "mmae_anomaly",
    "mmae_flags",
    "mmae_in_training",
)
FLUX_COLUMNS = {"image": "mmae_aperture_flux", "spectrum": "mmae_interval_flux"}
"""Fluxes of mmae/catalogue/fluxes.py, by the modality in which they are measured."""


@dataclass(frozen=True)
class RowFormat:
    """What determines the columns of a catalogue, and what is needed to read them.

    Attributes:
        model: SHA-256 of the weights of the model.
        modalities: that were used.
        embedding: width of the embedding.
        ln_edges: edges of the bins of p(z): first and last in ln(1+z), and number of bins; None without p(z).
        id_type: "string", "int64", ...: type of object_id.
        n_fluxes: number of fluxes by modality; empty in catalogues of earlier versions.
        warnings: whether the flags have warnings, not only what was missing.
    """

    model: str
    modalities: tuple[str, ...]
    embedding: int
    ln_edges: tuple[float, float, int] | None
    id_type: str
    n_fluxes: Mapping[str, int] = field(default_factory=dict)
    warnings: bool = False

    @classmethod
    def of(cls, bundle: Bundle, modalities: tuple[str, ...], id_type: pa.DataType, embedding: int) -> RowFormat:
        edges_K1 = bundle.pz_edges
        ln_edges = None
        if edges_K1 is not None:
            x_K1 = np.log1p(edges_K1)
            ln_edges = (float(x_K1[0]), float(x_K1[-1]), len(x_K1) - 1)
        kind = "large_string" if pa.types.is_large_string(id_type) else str(id_type)
        n_fluxes = {"image": len(RADII) * bundle.spec.n_bands, "spectrum": INTERVALS}
        measured = {name: n for name, n in n_fluxes.items() if name in modalities}
        return cls(bundle.hash, modalities, embedding, ln_edges, kind, measured, bundle.limits is not None)

    def edges_K1(self) -> np.ndarray:
        """Edges of the bins of p(z) in ln(1+z)."""
        assert self.ln_edges is not None
        low, high, bins = self.ln_edges
        return np.linspace(low, high, bins + 1)

    def schema(self) -> pa.Schema:
        """The schema of a partition, with this format in its metadata."""
        fields = [
            pa.field(SPATIAL, pa.int64(), nullable=False),
            pa.field("object_id", pa.type_for_alias(self.id_type), nullable=False),
            pa.field("ra", pa.float64(), nullable=False),
            pa.field("dec", pa.float64(), nullable=False),
            *(pa.field(name, pa.float32()) for name in REDSHIFTS),
        ]
        if self.ln_edges is not None:
            fields += [pa.field(name, pa.list_(pa.uint16(), KNOTS)) for name in (PZ_EDGE, PZ_CDF)]
        fields += [
            pa.field(EMBEDDING, pa.list_(pa.float16(), self.embedding)),
            *(pa.field(FLUX_COLUMNS[name], pa.list_(pa.float32(), n)) for name, n in self.n_fluxes.items()),
            pa.field(ANOMALY, pa.float32()),
            pa.field(FLAGS, pa.int32(), nullable=False),
            pa.field(IN_TRAINING, pa.bool_()),
        ]
        return pa.schema(fields, metadata={KEY: self.to_json().encode()})

    def to_json(self) -> str:
        flags = possible_flags(self.warnings)
        values = {
            "format": FORMAT,
            "version": mmae.__version__,
            "model_sha256": self.model,
            "modalities": self.modalities,
            "embedding": self.embedding,
            "pz_ln_edges": self.ln_edges,
            "pz_cdf_steps": STEPS,
            "id_type": self.id_type,
            "n_fluxes": dict(self.n_fluxes),
            "flags": {flag.name: flag.value for flag in flags},
            "flag_meaning": {flag.name: MEANING[flag] for flag in flags},
        }
        return json.dumps(values)

    @classmethod
    def from_json(cls, text: str | bytes) -> RowFormat:
        values = json.loads(text)
        edges = values["pz_ln_edges"]
        return cls(
            values["model_sha256"],
            tuple(values["modalities"]),
            values["embedding"],
            None if edges is None else (edges[0], edges[1], edges[2]),
            values["id_type"],
            values.get("n_fluxes", {}),
            Flag.LITTLE_EVIDENCE.name in values["flags"],
        )


def to_rows(
    table: pa.Table,
    healpix_N: np.ndarray,
    found: Predictions,
    flux_NF: Mapping[str, np.ndarray],
    in_training_N: np.ndarray | None,
    row_format: RowFormat,
) -> pa.Table:
    """Predictions as rows of a catalogue, in the order of the input.

    Args:
        table: object_id, ra and dec of the galaxies.
        healpix_N: HEALPix pixels of order 29, NESTED.
        flux_NF: fluxes of each modality of the format.
        in_training_N: galaxies of the training set; None: not known.
    """
    schema = row_format.schema()
    columns = {
        SPATIAL: healpix_N,
        **{name: table[name] for name in ("object_id", "ra", "dec")},
        **{name: _nullable(getattr(found, of_found)) for name, of_found in REDSHIFTS.items()},
        EMBEDDING: _lists(np.asarray(found.embedding, np.float16)),
        **{FLUX_COLUMNS[name]: _lists(flux_NF[name]) for name in row_format.n_fluxes},
        ANOMALY: _nullable(found.anomaly),
        FLAGS: found.flags.astype(np.int32),
        IN_TRAINING: pa.nulls(len(table), pa.bool_()) if in_training_N is None else in_training_N,
    }
    if row_format.ln_edges is not None and found.pz is not None:
        edge_NQ, cdf_NQ = encode_pz(found.pz, row_format.edges_K1())
        columns |= {PZ_EDGE: _lists(edge_NQ), PZ_CDF: _lists(cdf_NQ)}
    return pa.table([_as(columns[field.name], field.type) for field in schema], schema=schema)


def _as(values: np.ndarray | pa.Array | pa.ChunkedArray, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    return pa.array(values, kind) if isinstance(values, np.ndarray) else values


def _nullable(value_N: np.ndarray) -> pa.Array:
    """float32 with null where NaN."""
    return pa.array(np.asarray(value_N, np.float32), pa.float32(), from_pandas=True)


def _lists(value_NX: np.ndarray) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(value_NX).ravel()), value_NX.shape[1])
