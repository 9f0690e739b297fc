"""Pictures of what a search has found.

Shape suffixes: C bands, H and W pixels, L wavelengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure

from mmae.catalogue.figures import image_figure
from mmae.catalogue.page import read_images
from mmae.catalogue.queries import Query
from mmae.catalogue.search_config import SearchConfig
from mmae.catalogue.source import input_files, read_footer, spec_of
from mmae.catalogue.summary import Example
from mmae.catalogue.survey_rows import read_measurements
from mmae.core.errors import InputError
from mmae.plots.image import draw_rgb, white_level
from mmae.plots.spectrum import FLUX_UNIT, draw_spectrum
from mmae.report.style import save_figure, short_name, style
from mmae.survey.schema import SPLITS, Galaxy, SurveySpec

MOST_MATCHES = 6  # drawn
Place = tuple[str, int]  # file and row


def draw_neighbours(config: SearchConfig, queries: Sequence[Query | str], found: Sequence[pa.Table]) -> list[Path]:
    """One picture for each query: its image, if it is a cutout, and then its neighbours with their redshifts."""
    spec, places = _places(config, found)
    paths = []
    for number, (query, rows) in enumerate(zip(queries, found, strict=True)):
        examples = [
            Example(
                str(row["object_id"]),
                row["mmae_z_median"],
                row["mmae_z_err68_low"],
                row["mmae_z_err68_high"],
                None,
                *places[str(row["object_id"])],
            )
            for row in rows.to_pylist()
            if str(row["object_id"]) in places
        ]
        images = read_images(examples, spec)
        if isinstance(query, Query) and query.galaxy.image_CHW is not None:
            examples = [Example(query.title, None, None, None, None, "", 0), *examples]
            images = [query.galaxy.image_CHW, *images]
        figure = image_figure(examples, images, spec)
        paths.append(save_figure(figure, config.out / f"neighbours-{number:02d}.png"))
    return paths


def draw_matches(config: SearchConfig, queries: Sequence[Query | str], found: Sequence[pa.Table]) -> list[Path]:
    """One picture for each query: it and its most probable matches, image and spectrum side by side.

    Lines are marked at redshifts from spectra; those from images are too uncertain.
    """
    spec, places = _places(config, found)
    paths = []
    for number, (query, rows) in enumerate(zip(queries, found, strict=True)):
        galaxies, titles, redshifts = [], [], []
        if isinstance(query, Query):
            galaxies, titles, redshifts = [query.galaxy], [f"query: {query.title}"], [np.nan]
        for row in rows.to_pylist()[:MOST_MATCHES]:
            name, z = str(row["object_id"]), row["mmae_z_median"]
            if name in places:
                galaxies.append(_read_galaxy(name, places[name], spec))
                redshifts.append(z if z is not None and config.find == "spectra" else np.nan)
                z_text = "" if z is None else f", z = {z:.4g}"
                titles.append(f"{short_name(name)}: probability {row['probability']:.2g}{z_text}")
        figure = match_figure(galaxies, titles, redshifts, spec)
        paths.append(save_figure(figure, config.out / f"matches-{number:02d}.png"))
    return paths


@style()
def match_figure(
    galaxies: Sequence[Galaxy], titles: Sequence[str], redshifts: Sequence[float], spec: SurveySpec
) -> Figure:
    """A row for each galaxy: its image and its spectrum with lines at a redshift; NaN: no lines are marked."""
    figure = Figure(figsize=(10, 1.8 * len(galaxies)), layout="constrained")
    axes = figure.subplots(len(galaxies), 2, squeeze=False, width_ratios=(1, 5), sharex="col")
    wavelength_L = spec.wavelength_L()
    none_L = np.zeros(len(wavelength_L))
    for (left, right), galaxy, title, z in zip(axes, galaxies, titles, redshifts, strict=True):
        image_CHW = galaxy.image_CHW
        absent = image_CHW is None
        image_CHW = np.empty(spec.image_shape) if image_CHW is None else image_CHW
        draw_rgb(left, image_CHW, spec, 1.0 if absent else white_level(image_CHW, spec), absent=absent)
        flux_L, ivar_L = (none_L if x is None else x.astype(float) for x in (galaxy.flux_L, galaxy.ivar_L))
        draw_spectrum(right, wavelength_L, flux_L, ivar_L, None, None, z)
        right.set_title(title, loc="left", fontsize=8, pad=3)
    axes[-1, 1].set_xlabel(r"observed wavelength, vacuum [$\mathrm{\AA}$]")
    figure.supylabel(rf"$f_\lambda$ [{FLUX_UNIT}]", fontsize=8)
    return figure


def _places(config: SearchConfig, found: Sequence[pa.Table]) -> tuple[SurveySpec, dict[str, Place]]:
    """The spec of a survey, and file and row of the galaxies that were found.

    Raises:
        InputError: the survey has none of them.
    """
    wanted = {str(name) for rows in found for name in rows["object_id"].to_pylist()}
    files, _ = input_files(config.survey, SPLITS)
    spec = spec_of(read_footer(files[0]))
    places: dict[str, Place] = {}
    for file in files:
        ids = pq.read_table(file, columns=["object_id"], partitioning=None)["object_id"].to_pylist()
        places |= {str(name): (file, row) for row, name in enumerate(ids) if str(name) in wanted}
    if not places:
        raise InputError(f"{config.survey}: it has none of these galaxies. Give the input of the catalogue.")
    return spec, places


def _read_galaxy(name: str, place: Place, spec: SurveySpec) -> Galaxy:
    """Image and spectrum of a galaxy of a survey."""
    found = read_measurements(*place, spec)
    return Galaxy(name, image_CHW=found.image_CHW, flux_L=found.flux_L, ivar_L=found.ivar_L)
