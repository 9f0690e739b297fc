"""Find the galaxies most similar to given ones: the job of ray_jobs/search.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from mmae.catalogue.figures import image_figure
from mmae.catalogue.hats_files import write_parquet
from mmae.catalogue.index import Neighbours
from mmae.catalogue.page import read_images
from mmae.catalogue.read import read_embeddings
from mmae.catalogue.rows import ANOMALY, EMBEDDING
from mmae.catalogue.search_config import SearchConfig
from mmae.catalogue.source import input_files, read_footer, spec_of
from mmae.catalogue.summary import Example
from mmae.core.errors import InputError
from mmae.core.terminal import terminal
from mmae.report.style import save_figure
from mmae.survey.schema import SPLITS

COLUMNS = ["object_id", "ra", "dec", "mmae_z_median", "mmae_z_err68_low", "mmae_z_err68_high", ANOMALY]
FILE = "neighbours.parquet"


def search(config: SearchConfig, console: Console | None = None) -> pa.Table:
    """Print the neighbours of each galaxy, write them to a file, and draw them.

    Returns:
        Rows of the catalogue with the columns like (the galaxy asked for), rank (0: itself) and cosine.

    Raises:
        InputError: a galaxy is not in the catalogue, or the folder is none.
    """
    console = console or terminal()
    catalogue = Neighbours(config.catalogue.expanduser())
    queries = np.array([catalogue.number_of(object_id) for object_id in config.like])
    embedding_QD = read_embeddings(catalogue.rows(queries, [EMBEDDING]))
    number_QM, cosine_QM = catalogue.near(embedding_QD, config.neighbours + 1)
    found = []
    for query, object_id in enumerate(config.like):
        rows = catalogue.rows(number_QM[query], COLUMNS)
        added = {"like": [object_id] * len(rows), "rank": range(len(rows)), "cosine": cosine_QM[query]}
        for name, values in added.items():
            rows = rows.append_column(name, pa.array(values))
        found.append(rows)
        _print(object_id, rows, console)
    table = pa.concat_tables(found)
    write_parquet(table, config.out / FILE)
    console.print(f"\nneighbours {config.out / FILE}", soft_wrap=True)
    if config.survey:
        for path in _draw(config, found):
            console.print(f"picture    {path}", soft_wrap=True)
    return table


def _print(object_id: str, rows: pa.Table, console: Console) -> None:
    table = Table(title=f"like {object_id}", title_justify="left")
    for name in ("object_id", "ra", "dec", "z", "cosine"):
        table.add_column(name, justify="left" if name == "object_id" else "right")
    for row in rows.to_pylist():
        z = row["mmae_z_median"]
        table.add_row(
            str(row["object_id"]),
            f"{row['ra']:.5f}",
            f"{row['dec']:.5f}",
            "-" if z is None else f"{z:.4f}",
            f"{row['cosine']:.4f}",
        )
    console.print(table)


def _draw(config: SearchConfig, found: list[pa.Table]) -> list[Path]:
    """One picture for each galaxy: itself first, then its neighbours."""
    spec, places = _places(config.survey, {str(i) for rows in found for i in rows["object_id"].to_pylist()})
    paths = []
    for number, rows in enumerate(found):
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
        if not examples:
            raise InputError(f"{config.survey}: it has none of these galaxies. Give the input of the catalogue.")
        figure = image_figure(examples, read_images(examples, spec), spec)
        paths.append(save_figure(figure, config.out / f"neighbours-{number:02d}.png"))
    return paths


def _places(survey: str, wanted: set[str]) -> tuple:
    """The spec of a survey, and file and row of galaxies."""
    files, _ = input_files(survey, SPLITS)
    spec = spec_of(read_footer(files[0]))
    places: dict[str, tuple[str, int]] = {}
    for file in files:
        ids = pq.read_table(file, columns=["object_id"], partitioning=None)["object_id"].to_pylist()
        places |= {str(name): (file, row) for row, name in enumerate(ids) if str(name) in wanted}
    return spec, places
