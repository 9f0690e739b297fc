"""Object ids of a paired survey are unique, and what is left out is recorded."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from astropy.table import Table

from mmae.core.errors import InputError
from mmae.ingest.description import CatalogueColumns
from mmae.ingest.pairing.catalogue import CATALOGUE, index_catalogue, with_unique_ids
from mmae.ingest.pairing.config import PairConfig
from mmae.ingest.pairing.images import IMAGES
from mmae.ingest.pairing.index import Index
from mmae.ingest.pairing.objects import NONE, join_objects
from mmae.ingest.pairing.plan import object_ids
from mmae.ingest.pairing.source import _left_out
from mmae.ingest.pairing.spectra import SPECTRA
from mmae.survey.schema import SurveySpec
from tests.ingest.pairing.test_parts import index_of, positions


def catalogue(folder, files: dict[str, dict], object_id: str = "OBJID") -> pa.Table:
    columns = CatalogueColumns(object_id=object_id, ra="RA", dec="DEC")
    tables = []
    for name, values in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        n = len(next(iter(values.values())))
        Table({"RA": np.arange(n) * 1.0, "DEC": np.zeros(n), **values}).write(folder / name)
        tables.append(index_catalogue(str(folder / name), columns, ("g",))[0])
    return with_unique_ids(pa.concat_tables(tables).combine_chunks())


def test_ids_that_are_unique_are_not_changed(tmp_path):
    found = catalogue(tmp_path, {"a.fits": {"OBJID": [1, 2]}, "b.fits": {"OBJID": [3]}})
    assert found["object_id"].to_pylist() == ["1", "2", "3"]
    assert found["row"].to_pylist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("files", "ids"),
    [
        ({"t-1.fits": {"OBJID": [0, 1]}, "t-2.fits": {"OBJID": [1, 2]}}, ["t-1/0", "t-1/1", "t-2/1", "t-2/2"]),
        ({"1/t.fits": {"OBJID": [0]}, "2/t.fits": {"OBJID": [0]}}, ["1/t/0", "2/t/0"]),
        # A sweep file of the Legacy Surveys has many bricks; BRICKNAME or BRICKID names them.
        ({"sweep.fits": {"OBJID": [0, 1, 0], "BRICKNAME": ["p", "p", "q"]}}, ["p/0", "p/1", "q/0"]),
        ({"sweep.fits": {"objid": [0, 0], "brickid": [33, 34]}}, ["33/0", "34/0"]),
        # A brick in the northern and in the southern survey.
        (
            {"n.fits": {"OBJID": [0], "BRICKNAME": ["p"]}, "s.fits": {"OBJID": [0], "BRICKNAME": ["p"]}},
            ["n/p/0", "s/p/0"],
        ),
        ({"t.fits": {"OBJID": [0], "BRICKNAME": ["p"]}, "u.fits": {"OBJID": [0]}}, ["p/0", "u/0"]),
    ],
)
def test_repeated_ids_are_prefixed_by_brick_or_file(tmp_path, files, ids):
    assert catalogue(tmp_path, files)["object_id"].to_pylist() == ids


def test_ids_of_several_columns(tmp_path):
    found = catalogue(tmp_path, {"a.fits": {"RUN": [1, 1, 2], "FIELD": [5, 6, 5]}}, "run, field")
    assert found["object_id"].to_pylist() == ["1-5", "1-6", "2-5"]
    with pytest.raises(InputError, match="no column camcol"):
        catalogue(tmp_path, {"b.fits": {"RUN": [1], "FIELD": [5]}}, "run, camcol")


def test_ids_that_repeat_in_one_file_are_an_error_that_names_file_and_rows(tmp_path):
    with pytest.raises(InputError, match=r"b\.fits: rows 1 and 3 .* 7 \(2 rows.*BRICKID, OBJID"):
        catalogue(tmp_path, {"a.fits": {"OBJID": [1]}, "b.fits": {"OBJID": [6, 7, 8, 7]}})


def spectra(ra, targetid, file, row) -> pa.Table:
    return positions(SPECTRA, ra, [0.0] * len(ra), targetid=targetid, file=file, row=row)


def joined(index: Index, tmp_path, **options) -> dict[str, np.ndarray]:
    return join_objects(index, PairConfig(**options), SurveySpec(), tmp_path / "match")


def test_targets_of_two_coadds_and_exposures(tmp_path):
    index = index_of(
        catalogue=positions(CATALOGUE, [10.0], [0.0], object_id=["A"]),
        spectra=spectra(
            [10.0, 10.0, 20.0, 20.0, 30.0, 30.0],
            [5, 5, 6, 6, 7, 7],
            ["/d/x.fits", "/d/y.fits", "/d/x.fits", "/d/y.fits", "/d/y.fits", "/d/y.fits"],
            [0, 0, 1, 1, 2, 3],
        ),
    )
    ids = object_ids(index, joined(index, tmp_path)).to_pylist()
    assert sorted(ids) == ["5", "A", "x/6", "y/6", "y/row-2/7", "y/row-3/7"]
    ids = object_ids(index, joined(index, tmp_path, match="nearest")).to_pylist()
    assert sorted(ids) == ["x/6", "x/A", "y/6", "y/A", "y/row-2/7", "y/row-3/7"]


def test_a_stamp_named_as_a_catalogue_row(tmp_path):
    index = index_of(
        catalogue=positions(CATALOGUE, [10.0, 20.0], [0.0, 0.0], object_id=["1", "2"]),
        stamps=positions(IMAGES, [30.0, 20.0], [0.0, 0.0], name=["1", "2"]),
    )
    assert sorted(object_ids(index, joined(index, tmp_path)).to_pylist()) == ["1", "2", "stamps/1"]


def test_rows_that_become_no_object_are_rejected(tmp_path):
    index = index_of(
        catalogue=positions(CATALOGUE, [10.0, 20.0], [0.0, 0.0], object_id=["1", "2"], row=[0, 5]).set_column(
            CATALOGUE.get_field_index("file"), "file", pa.array(["c.csv"] * 2).dictionary_encode()
        ),
        spectra=positions(
            SPECTRA, [10.0, np.nan, 30.0], [0.0, 0.0, 95.0], targetid=[5, 6, 7], file=["x.fits"] * 3, row=[0, 1, 2]
        ),
        stamps=positions(IMAGES, [np.nan], [0.0], name=["s"], planes=['[{"path": "s.fits"}]']),
    )
    objects = joined(index, tmp_path)
    empty = np.all([objects[kind] == NONE for kind in ("spectra", "stamps", "patches")], axis=0)
    found = {r.object_id: r for r in _left_out(index, objects, empty)}
    assert found.keys() == {"6", "7", "s", "2"} and {r.field for r in found.values()} == {"row"}
    assert found["6"].where == "x.fits, row 1" and "nan" in found["6"].reason and "95.0" in found["7"].reason
    assert (found["s"].where, found["2"].where) == ("s.fits", "c.csv, row 5")
