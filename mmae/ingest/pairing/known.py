"""Known sources as inputs of a pairing: their rows in the index, and their spectra, images and labels.

Shape suffix: N rows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from mmae.core.errors import InputError
from mmae.core.tasks import Runner
from mmae.ingest.description import SurveyDescription
from mmae.ingest.pairing.catalogue import CATALOGUE
from mmae.ingest.pairing.images import IMAGES
from mmae.ingest.pairing.index import Index
from mmae.ingest.pairing.spectra import SPECTRA
from mmae.ingest.sources.description import KnownSource, known_source, on_grid
from mmae.ingest.sources.grid import GridConfig
from mmae.ingest.sources.index import index_source
from mmae.ingest.sources.source import check_source, list_files, read_rows
from mmae.survey.schema import SurveySpec
from mmae.survey.source import ChunkRead


@dataclass(frozen=True)
class KnownInputs:
    """The known sources of a pairing by name, and the source of each of their files."""

    sources: dict[str, KnownSource] = field(default_factory=dict)
    source_of: dict[str, str] = field(default_factory=dict)

    @property
    def extra_columns(self) -> tuple[tuple[str, int], ...]:
        return tuple(dict.fromkeys(column for source in self.sources.values() for column in source.extra_columns))

    def read(self, path: str, row_N: Sequence[int], part: str, spec: SurveySpec) -> ChunkRead:
        """The galaxies of some rows (increasing), with one part only: "spectrum", "image" or "labels".

        Images are not rejected for missing pixels here.
        """
        source = self.sources[self.source_of[path]]
        others = {"spectrum": {"image": None}, "image": {"spectrum": None}, "labels": {"spectrum": None, "image": None}}
        return read_rows(path, np.array(row_N), replace(source, **others[part]), spec, most_missing=1.0)


def known_inputs(inputs: Sequence[str], grid: GridConfig) -> KnownInputs:
    """The known sources of NAME=PATTERN and their files.

    Raises:
        InputError: another form, an unknown source, no files, or files of two sources.
    """
    sources: dict[str, KnownSource] = {}
    files: dict[str, str] = {}
    for item in inputs:
        name, equal, pattern = item.partition("=")
        if not equal:
            raise InputError(f"--pair.sources {item}: give NAME=PATTERN, such as mmu-desi='desi/**/*.hdf5'.")
        source = known_source(name)
        sources[name] = on_grid(source, grid if source.image or not grid.bands else replace(grid, bands=()))
        for path in list_files(sources[name], [pattern]):
            if files.setdefault(path, name) != name:
                raise InputError(f"{path}: a file of {files[path]} and of {name}. Give each file once.")
    return KnownInputs(sources, files)


def described_by(known: KnownInputs, given: SurveyDescription | None) -> SurveyDescription:
    """The description of the survey: the given one, else the images of the first source with images and the wavelengths
    of the first with spectra."""
    if given is not None or not known.sources:
        return given or SurveyDescription()
    sources = list(known.sources.values())
    imaged = next((source.survey for source in sources if source.image is not None), sources[0].survey)
    observed = next((source.survey for source in sources if source.spectrum is not None), imaged)
    waves = {name: getattr(observed, name) for name in ("wavelength_start", "wavelength_step", "n_wavelengths")}
    return replace(imaged, **waves)


def add_rows(index: Index, known: KnownInputs, spec: SurveySpec, run: Runner, workers: int | None) -> Index:
    """The index with the rows of known sources: spectra as spectra, images as stamps, labels as catalogue rows.

    Raises:
        InputError: a source has no positions, or as `index_source` and `check_source`.
    """
    tables = {"spectra": [index.spectra], "stamps": [index.stamps], "catalogue": [index.catalogue]}
    rejections, counts = list(index.rejections), dict(index.files)
    for name, source in known.sources.items():
        if not source.columns.ra:
            raise InputError(f"{name} has no positions, so that it cannot be matched on the sky. Use --source {name}.")
        files = [path for path, owner in known.source_of.items() if owner == name]
        found = index_source(source, files, run, workers)
        check_source(source, found.rows, spec)
        rejections += found.rejections
        counts[name] = len(files)
        if source.spectrum is not None:
            tables["spectra"].append(_filled(SPECTRA, found.rows, {}))
        if source.image is not None:
            planes = [
                json.dumps([{"path": place["file"], "row": place["row"]}])
                for place in found.rows.select(["file", "row"]).to_pylist()
            ]
            size = pa.array([spec.image_size] * len(found.rows), pa.int64())
            own = {"name": found.rows["object_id"], "planes": planes, "height": size, "width": size}
            tables["stamps"].append(_filled(IMAGES, found.rows, own))
        if source.spectrum is None and source.image is None:
            path = found.rows["file"].combine_chunks().dictionary_encode()
            tables["catalogue"].append(_filled(CATALOGUE, found.rows, {"file": path}))
    whole = {kind: pa.concat_tables(parts).combine_chunks() for kind, parts in tables.items()}
    return replace(index, **whole, rejections=rejections, files=counts)


def _filled(schema: pa.Schema, rows: pa.Table, own: dict) -> pa.Table:
    """A table with this schema: columns of `own`, else of the rows, else null."""
    values = {name: own.get(name, rows[name] if name in rows.column_names else None) for name in schema.names}
    return pa.table(
        {k: pa.nulls(len(rows), schema.field(k).type) if v is None else v for k, v in values.items()}, schema=schema
    )
