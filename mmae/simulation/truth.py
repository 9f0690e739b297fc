"""Truth table of a simulated survey: one row of true properties per galaxy.

Shape suffixes: C bands, E the widths of `lines.LINE_NAMES`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from mmae.astro.lines import LINE_NAMES
from mmae.simulation.contaminants import SKY, STAR
from mmae.simulation.labels import Label
from mmae.simulation.population import Target
from mmae.simulation.structure import Structure

NUMBERS = (
    "redshift_true",
    "redshift_measured",
    "absolute_mag_r",
    "bulge_fraction",
    "bulge_sersic_index",
    "bulge_radius",
    "bulge_axis_ratio",
    "disk_radius",
    "disk_axis_ratio",
    "position_angle",
    "half_light_radius",
    "attenuation_v",
    "galactic_reddening",
    "velocity_dispersion",
    "fibre_fraction",
)


def truth_schema(bands: tuple[str, ...], kinds: bool = False) -> pa.Schema:
    """Columns of the truth table; null where a quantity does not exist (the disk of a quasar).

    Magnitudes (AB, total) and line fluxes (1e-17 erg/s/cm2, of the whole object) include Galactic extinction of
    E(B-V) = galactic_reddening; attenuation_v: A_V in the galaxy; line widths (_ew): rest-frame Angstrom;
    radii: arcsec along the major axis; angles: radians from the x axis.

    Args:
        kinds: there are contaminants, and a column `kind` (`contaminants.KINDS`) that says what a row is.
    """
    lines = [f"{name}_{what}" for name in LINE_NAMES for what in ("ew", "flux")]
    return pa.schema(
        [
            pa.field("object_id", pa.string(), nullable=False),
            pa.field("target_class", pa.string()),
            pa.field("galaxy_type", pa.string()),
            pa.field("zwarn", pa.int32()),
            pa.field("catastrophic", pa.bool_()),
            *[pa.field(name, pa.float64()) for name in NUMBERS],
            *[pa.field(f"{band}_mag", pa.float64()) for band in bands],
            *[pa.field(f"{band}_seeing", pa.float64()) for band in bands],
            *[pa.field(name, pa.float64()) for name in lines],
            pa.field("n_neighbours", pa.int32()),
            pa.field("n_stars", pa.int32()),
            *([pa.field("kind", pa.string())] if kinds else []),
        ]
    )


def contaminant_row(row: dict[str, Any], kind: str, redshift: float | None) -> dict[str, Any]:
    """Row of the truth table of a contaminant: without a label, and without what does not exist.

    Args:
        row: as if the target were a galaxy or quasar.
        redshift: of what is there; None: nothing is.
    """
    cleared = dict.fromkeys(("zwarn", "catastrophic", "redshift_measured"))
    if kind in (SKY, STAR):
        kept = {"object_id", "galactic_reddening", "n_neighbours", "n_stars"}
        cleared |= dict.fromkeys(name for name in row if name not in kept and not name.endswith(("_mag", "_seeing")))
        cleared |= {"target_class": kind.upper(), "galaxy_type": kind}
    missing = {name: None for name in row if name.endswith("_mag") and not np.isfinite(row[name])}
    return {**row, **cleared, **missing, "redshift_true": redshift, "kind": kind}


def truth_row(
    object_id: str,
    target: Target,
    structure: Structure,
    label: Label,
    mag_C: np.ndarray,
    fwhm_C: np.ndarray,
    bands: tuple[str, ...],
    line_flux_E: np.ndarray,
    *,
    galactic_reddening: float,
    half_light_radius: float,
    fibre_fraction: float,
    n_neighbours: int,
    n_stars: int,
) -> dict[str, Any]:
    """Row of the truth table, with the columns of `truth_schema`."""
    galaxy = target.galaxy
    has_bulge = galaxy is not None and structure.bulge_fraction > 0
    has_disk = galaxy is not None and structure.bulge_fraction < 1
    widths_E = galaxy.widths_E if galaxy else (None,) * len(LINE_NAMES)
    row = {
        "object_id": object_id,
        "target_class": target.target_class.name,
        "galaxy_type": galaxy.galaxy_type if galaxy else "quasar",
        "zwarn": label.zwarn,
        "catastrophic": label.wrong,
        "redshift_true": target.redshift,
        "redshift_measured": label.redshift,
        "absolute_mag_r": target.absolute_mag_r,
        "bulge_fraction": structure.bulge_fraction if galaxy else None,
        "bulge_sersic_index": structure.bulge.sersic_index if has_bulge else None,
        "bulge_radius": structure.bulge.half_light_radius if has_bulge else None,
        "bulge_axis_ratio": structure.bulge.axis_ratio if has_bulge else None,
        "disk_radius": structure.disk.half_light_radius if has_disk else None,
        "disk_axis_ratio": structure.disk.axis_ratio if has_disk else None,
        "position_angle": structure.bulge.position_angle if galaxy else None,
        "half_light_radius": half_light_radius,
        "attenuation_v": galaxy.attenuation_v if galaxy else None,
        "galactic_reddening": galactic_reddening,
        "velocity_dispersion": galaxy.velocity_dispersion if galaxy else None,
        "fibre_fraction": fibre_fraction,
        "n_neighbours": n_neighbours,
        "n_stars": n_stars,
    }
    for c, band in enumerate(bands):
        row[f"{band}_mag"], row[f"{band}_seeing"] = float(mag_C[c]), float(fwhm_C[c])
    for e, name in enumerate(LINE_NAMES):
        row[f"{name}_ew"] = None if widths_E[e] is None else float(widths_E[e])
        row[f"{name}_flux"] = float(line_flux_E[e]) if galaxy else None
    return row
