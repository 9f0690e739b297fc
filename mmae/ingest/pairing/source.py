"""A paired survey as a source for the builder: index the files, match, write a plan; then read cell by cell.

The plan is in <out>.plan and is reused by the same build, so that a killed build
neither indexes nor matches twice. Files are identified by name and size.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import mmae
from mmae.core.errors import InputError
from mmae.core.files import file_hash, write_whole
from mmae.core.settings import to_dict
from mmae.core.tasks import Runner, in_ray
from mmae.ingest.description import SurveyDescription, read_description
from mmae.ingest.files import file_size, name_of
from mmae.ingest.pairing.config import PairConfig
from mmae.ingest.pairing.index import Index, index_inputs, list_inputs
from mmae.ingest.pairing.known import KnownInputs, add_rows, described_by, known_inputs
from mmae.ingest.pairing.normalise import measure_normalisation
from mmae.ingest.pairing.objects import NONE, join_objects, rows_as_objects
from mmae.ingest.pairing.plan import object_ids, write_plan
from mmae.ingest.pairing.read import read_cell
from mmae.ingest.sources.grid import GridConfig
from mmae.survey.schema import Rejection, SurveySpec
from mmae.survey.source import Chunk, ChunkRead, Source

PLAN = "plan.json"
Flow = list[tuple[str, int]]


def paired_source(
    config: PairConfig, out: Path, workers: int | None = None, grid: GridConfig | None = None, run: Runner = in_ray
) -> Source:
    """Spectra, images and catalogues of one sky, paired.

    Args:
        out: folder of the survey; the plan is written beside it.
        workers: at most this many files are indexed at once.
        grid: the survey's pixels and wavelengths, where they differ from those of known sources.
        run: where the files are indexed.

    Raises:
        InputError: a pattern matches no file, no file of a kind can be read, a catalogue has no such column, or the
            description has no magnitudes for catalogues alone or no positions for a match.
    """
    inputs = list_inputs(config)
    known = known_inputs(config.sources, grid or GridConfig())
    given = None
    if config.description or not known.sources:
        given = read_description(config.description, config.has_images or bool(known.sources))
    description = described_by(known, given)
    _require_columns(config, description)
    every_file = [*(path for files in inputs.values() for path in files), *known.source_of]
    sizes = {path: file_size(path) for path in every_file}
    build = {"mmae": mmae.__version__, "pair": to_dict(config), "description": to_dict(description), "sizes": sizes}
    if known.sources:
        build["sources"] = {name: to_dict(source) for name, source in known.sources.items()}
    fingerprint = hashlib.blake2b(json.dumps(build, sort_keys=True).encode(), digest_size=16).hexdigest()
    folder = plan_folder(out) / fingerprint
    plan = _valid_plan(folder)
    if plan is None:
        shutil.rmtree(plan_folder(out), ignore_errors=True)
        plan = _make_plan(folder, config, description, inputs, known, workers, run)
    else:
        print(f"{folder}: using this plan; the input files are not indexed again.")
    return Source(
        name="paired",
        spec=SurveySpec.from_json(json.dumps(plan["spec"])),
        provenance={
            "reader": "paired",
            "description": to_dict(description),
            "pair": to_dict(config),
            "files": {kind: [name_of(path) for path in files] for kind, files in inputs.items()}
            | {name: [name_of(p) for p, owner in known.source_of.items() if owner == name] for name in known.sources},
            "bytes": sum(sizes.values()),
            "inputs_hash": fingerprint,
            "flow": plan["flow"],
        },
        chunks=plan["chunks"],
        read=partial(
            read_chunk,
            spec=SurveySpec.from_json(json.dumps(plan["spec"])),
            arms=tuple(description.arms),
            max_outside=config.max_outside,
            known=known,
        ),
    )


def _require_columns(config: PairConfig, description: SurveyDescription) -> None:
    columns, where = description.catalogue, config.description or "--pair.description is not given"
    if config.tables_alone and not columns.magnitudes:
        raise InputError(
            f"{where}: --pair.catalogues alone need magnitudes. Name their columns in the survey's description: "
            f"`catalogue: {{magnitudes: {{g: MAG_G, r: MAG_R}}}}`."
        )
    if config.catalogues and not config.tables_alone and not columns.ra:
        raise InputError(f"{where}: a catalogue is matched by position. Name its columns as catalogue.ra and dec.")


def read_chunk(
    chunk: Chunk, spec: SurveySpec, arms: tuple[str, ...], max_outside: float, known: KnownInputs
) -> ChunkRead:
    """The galaxies of a cell, or the rejected files and rows of the index."""
    if "rejected" in chunk:
        return ChunkRead(rejections=[Rejection(**r) for r in json.loads(Path(chunk["rejected"]).read_text())])
    return read_cell(chunk, spec, arms, max_outside, known)


def plan_folder(out: Path) -> Path:
    """The folder of the plans for a survey in `out`."""
    out = out.expanduser().resolve()
    return out.with_name(out.name + ".plan")


def _make_plan(
    folder: Path,
    config: PairConfig,
    description: SurveyDescription,
    inputs: dict[str, list[str]],
    known: KnownInputs,
    workers: int | None,
    run: Runner,
) -> dict[str, Any]:
    spec = description.spec_of_tables() if config.tables_alone else description.spec()
    spec = replace(spec, extra_columns=(*spec.extra_columns, *known.extra_columns))
    index = add_rows(index_inputs(inputs, description, config, workers, run), known, spec, run, workers)
    if description.catalogue.ra:
        objects = join_objects(index, config, spec, folder / "match")
        shutil.rmtree(folder / "match", ignore_errors=True)
    else:
        objects = rows_as_objects(index.catalogue)
    empty_N = np.all([objects[kind] == NONE for kind in ("spectra", "stamps", "patches")], axis=0)
    n_empty = int(empty_N.sum())
    if config.tables_alone:
        empty_N[:] = False
    index.rejections.extend(_left_out(index, objects, empty_N))
    objects = {name: column[~empty_N] for name, column in objects.items()}
    if not len(objects["ra"]):
        raise InputError(
            "no object has an image or a spectrum: no spectrum has a position on the sky, or no catalogue row "
            "is on an image. Check that the files are of one field."
        )
    chunks = write_plan(index, objects, object_ids(index, objects), folder, config.rows_per_cell)
    rejected = folder / "rejected.json"
    write_whole(rejected, json.dumps([asdict(r) for r in index.rejections]))
    plan = {
        "spec": asdict(measure_normalisation(spec, chunks, config.max_outside, workers, known, run)),
        "chunks": [{"name": "files", "rejected": str(rejected), "blake2b": file_hash(rejected)}, *chunks],
        "flow": _flow(index, objects, n_empty, config.tables_alone),
    }
    write_whole(folder / PLAN, json.dumps(plan))
    return json.loads(json.dumps(plan))


def _left_out(index: Index, objects: dict[str, np.ndarray], empty_N: np.ndarray) -> list[Rejection]:
    """Rejections of the rows that become no object: without position, or on no image and without spectrum."""
    found = []
    for kind, table in (("stamps", index.stamps), ("spectra", index.spectra)):
        lost = table.take(pa.array(np.setdiff1d(np.arange(len(table)), objects[kind])))
        for row in lost.to_pylist():
            name, where = row.get("name"), row.get("planes")
            if kind == "spectra":
                name, where = row["object_id"] or str(row["targetid"]), f"{row['file']}, row {row['row']}"
            else:
                where = ", ".join(dict.fromkeys(plane["path"] for plane in json.loads(where)))
            reason = f"RA {row['ra']}, declination {row['dec']}: not on the sky"
            found.append(Rejection(name, where, "row", reason))
    unused = index.catalogue.select(["object_id", "file", "row"]).take(pa.array(objects["catalogue"][empty_N]))
    for row in unused.to_pylist():
        where = f"{row['file']}, row {row['row']}"
        found.append(Rejection(row["object_id"], where, "row", "the position is on no image, and no spectrum is there"))
    return found


def _flow(index: Index, objects: dict[str, np.ndarray], n_empty: int, tables_alone: bool) -> Flow:
    """Number of rows at each step of the sample selection; of catalogues alone without steps that only a match has."""
    has = {kind: objects[kind] != NONE for kind in ("catalogue", "spectra", "stamps", "patches")}
    imaged = has["stamps"] | has["patches"]
    known = index.redshifts.filter(pc.equal(index.redshifts["zwarn"], 0))["targetid"]
    files = [
        *((f"files of {kind}", n) for kind, n in index.files.items() if n),
        ("files rejected", sum(r.field == "file" for r in index.rejections)),
    ]
    if tables_alone:
        return [*files, ("catalogue rows", len(index.catalogue))]
    # Redshifts of known sources are in the files of their spectra, which are read later.
    trusted = int(pc.sum(pc.is_in(index.spectra["targetid"], known)).as_py() or 0)
    return [
        *files,
        ("spectra of targets", len(index.spectra)),
        *([("spectra with a trusted redshift", trusted)] if len(index.redshifts) else []),
        ("spectra without a position on the sky", len(index.spectra) - int(has["spectra"].sum())),
        ("catalogue rows", len(index.catalogue)),
        ("catalogue rows without image and spectrum", n_empty),
        ("objects", len(objects["ra"])),
        ("objects on an image", int(imaged.sum())),
        ("objects with a spectrum", int(has["spectra"].sum())),
        ("objects with both", int((imaged & has["spectra"]).sum())),
    ]


def _valid_plan(folder: Path) -> dict[str, Any] | None:
    """The plan, if all its files exist unchanged."""
    try:
        plan = json.loads((folder / PLAN).read_text())
        whole = all(file_hash(Path(c.get("plan") or c["rejected"])) == c["blake2b"] for c in plan["chunks"])
    except (OSError, ValueError, KeyError):
        return None
    return plan if whole else None
