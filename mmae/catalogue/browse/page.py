"""Render the page: one HTML file with style, script, numbers and pictures in it, which loads nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from mmae.catalogue.browse.choose import ANOMALOUS, RANDOM, UNCERTAIN

TEMPLATE = "page.html"
SORTS = {
    "anomaly": "anomaly score",
    "width": "width of p(z)",
    "z": "redshift",
    "offset": "distance from the known redshift",
}
TRAINING = "in training"


def render_page(name: str, facts: Mapping[str, str], found: Mapping[str, Any]) -> str:
    """The page as HTML.

    Args:
        name: of the catalogue.
        facts: entries of the list below the title: name -> text.
        found: of mmae/catalogue/browse/contents.py.
    """
    environment = Environment(
        loader=PackageLoader("mmae", "catalogue/browse"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    galaxies = found["galaxies"]
    has = {
        "anomaly": any(galaxy["anomaly"] is not None for galaxy in galaxies),
        "width": any(galaxy["width"] is not None for galaxy in galaxies),
        "z": any(galaxy["z"] is not None for galaxy in galaxies),
        "offset": any(galaxy["known"] is not None for galaxy in galaxies),
    }
    return environment.get_template(TEMPLATE).render(
        name=name,
        facts=facts,
        data=found,
        warnings=found["warnings"],
        sorts={key: text for key, text in SORTS.items() if has[key]},
        reasons=[r for r in (ANOMALOUS, UNCERTAIN, RANDOM) if any(r in galaxy["reasons"] for galaxy in galaxies)],
        filters={f"flag{flag['bit']}": flag["name"] for flag in found["flags"]}
        | ({"training": TRAINING} if any(galaxy["training"] for galaxy in galaxies) else {}),
        columns=[name for name, there in _columns(found).items() if there],
    )


def _columns(found: Mapping[str, Any]) -> dict[str, bool]:
    """Which parts the rows of the page have, as CSS classes."""
    galaxies = found["galaxies"]
    return {
        "has-images": bool(found["images"]),
        "has-spectra": any(galaxy["flux"] is not None for galaxy in galaxies),
        "has-near": any(galaxy["near"] for galaxy in galaxies),
    }
