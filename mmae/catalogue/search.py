"""Find the galaxies most similar to given ones, or their image or spectrum: the job of ray_jobs/search.py.

Shape suffixes: Q queries, M neighbours, D width of the embedding.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from mmae.bundle.bundle import Bundle
from mmae.catalogue.hats_files import write_parquet
from mmae.catalogue.index import Neighbours
from mmae.catalogue.match import MODALITY_OF, SHOWN_PROBABILITY, find_matches
from mmae.catalogue.model import find_model, load_any
from mmae.catalogue.queries import Query, is_file, read_queries
from mmae.catalogue.read import read_embeddings
from mmae.catalogue.row_numbers import NumberedRows
from mmae.catalogue.rows import ANOMALY, EMBEDDING
from mmae.catalogue.search_config import SearchConfig
from mmae.catalogue.search_pictures import draw_matches, draw_neighbours
from mmae.core.errors import InputError
from mmae.core.terminal import terminal

COLUMNS = ["object_id", "ra", "dec", "mmae_z_median", "mmae_z_err68_low", "mmae_z_err68_high", ANOMALY]
NEIGHBOURS_FILE, MATCHES_FILE = "neighbours.parquet", "matches.parquet"


def search(config: SearchConfig, console: Console | None = None) -> pa.Table:
    """Print what is found for each galaxy, write it to a file, and draw it.

    Returns:
        Rows of the catalogue with the columns like (the galaxy asked for), rank, and cosine (of similar galaxies) or
        probability (of matches). Rank 0 is the most similar galaxy, which is the galaxy itself if the catalogue has it.

    Raises:
        InputError: a galaxy is not in the catalogue, a file cannot be used, or the folder is no catalogue.
    """
    console = console or terminal()
    catalogue = NumberedRows(config.catalogue.expanduser())
    model = find_model(config.model, config.home_path) if config.model else None
    bundle = None if model is None else _model_of(model, catalogue)
    queries = _queries(config.like, catalogue, bundle)
    if config.find == "similar":
        found, name, column = _similar(config, catalogue, queries, bundle), NEIGHBOURS_FILE, "cosine"
    else:
        assert model is not None and bundle is not None  # of SearchConfig
        found = find_matches(catalogue, queries, MODALITY_OF[config.find], model, bundle, COLUMNS, config)
        name, column = MATCHES_FILE, SHOWN_PROBABILITY
    for query, rows in zip(queries, found, strict=True):
        _print(_name(query), rows, column, console)
    table = pa.concat_tables(found)
    write_parquet(table, config.out / name)
    console.print(f"\nfound      {config.out / name}", soft_wrap=True)
    if config.survey:
        draw = draw_neighbours if config.find == "similar" else draw_matches
        for path in draw(config, queries, found):
            console.print(f"picture    {path}", soft_wrap=True)
    return table


def _queries(like: tuple[str, ...], catalogue: NumberedRows, bundle: Bundle | None) -> list[Query | str]:
    """The galaxies asked for, those of FITS files last; a galaxy of the catalogue by its object_id."""
    ids: list[Query | str] = [name for name in like if not is_file(name)]
    for object_id in ids:
        catalogue.number_of(str(object_id))  # an error before anything is printed
    files = [name for name in like if is_file(name)]
    if files and bundle is None:
        raise InputError(f"--like {files[0]}: a FITS file needs the model of the catalogue. Give --model.")
    return ids + (read_queries(files, bundle.spec) if bundle is not None and files else [])


def _model_of(folder: Path, catalogue: NumberedRows) -> Bundle:
    """The model of a catalogue.

    Raises:
        InputError: it is another one.
    """
    bundle = load_any(folder)
    if bundle.hash != catalogue.row_format.model:
        raise InputError(f"--model {folder}: not the model that predicted {catalogue.folder}. Give that one.")
    return bundle


def _similar(
    config: SearchConfig, catalogue: NumberedRows, queries: list[Query | str], bundle: Bundle | None
) -> list[pa.Table]:
    index = Neighbours(catalogue.folder)
    found = []
    for query in queries:
        if isinstance(query, str):
            number_1 = np.array([catalogue.number_of(query)])
            embedding_1D = read_embeddings(catalogue.take(number_1, [EMBEDDING]))
        else:
            assert bundle is not None
            embedding_1D = _embedding(query, catalogue, bundle)
        number_1M, cosine_1M = index.near(embedding_1D, config.neighbours + isinstance(query, str))
        rows = catalogue.take(number_1M[0], COLUMNS)
        added = {"like": [_name(query)] * len(rows), "rank": range(len(rows)), "cosine": cosine_1M[0]}
        for name, values in added.items():
            rows = rows.append_column(name, pa.array(values))
        found.append(rows)
    return found


def _embedding(query: Query, catalogue: NumberedRows, bundle: Bundle) -> np.ndarray:
    """The embedding (1, D) of a FITS file.

    Raises:
        InputError: embeddings of the catalogue are of other modalities.
    """
    of_catalogue = catalogue.row_format.modalities
    if of_catalogue != (query.modality,):
        other = "spectra" if query.modality == "image" else "images"
        raise InputError(
            f"--like {query.name}: its embedding, of the {query.modality} alone, cannot be compared with those of this "
            f"catalogue, of {' and '.join(of_catalogue)}. Use --find {other}, or a catalogue with --use "
            f"{query.modality}."
        )
    return query.predict(bundle).embedding


def _name(query: Query | str) -> str:
    return query if isinstance(query, str) else query.name


def _print(name: str, rows: pa.Table, column: str, console: Console) -> None:
    table = Table(title=f"like {name}", title_justify="left")
    for heading in ("object_id", "ra", "dec", "z", column):
        table.add_column(heading, justify="left" if heading == "object_id" else "right")
    for row in rows.to_pylist():
        z = row["mmae_z_median"]
        table.add_row(
            str(row["object_id"]),
            f"{row['ra']:.5f}",
            f"{row['dec']:.5f}",
            "-" if z is None else f"{z:.4f}",
            f"{row[column]:.4f}",
        )
    console.print(table)
