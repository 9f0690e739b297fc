"""hats and lsdb accept the catalogue, and match it with its input."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmae.catalogue.read import read_catalogue
from tests.catalogue.small import galaxy, options, predict_here, write_small_bundle, write_survey

lsdb = pytest.importorskip("lsdb")
validation = pytest.importorskip("hats.io.validation")

pytestmark = pytest.mark.filterwarnings("ignore")  # of pandas, dask and the missing margin


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lsdb")
    bundle = write_small_bundle(folder / "b")
    survey = write_survey(folder / "s", [galaxy(i) for i in range(100)])
    return predict_here(options(bundle, survey, folder / "c")).path


def test_the_catalogue_is_valid(catalogue):
    assert validation.is_valid_catalog(str(catalogue), strict=True)


def test_lsdb_reads_every_row(catalogue):
    opened = lsdb.open_catalog(str(catalogue), columns="all")
    rows, expected = opened.compute(), read_catalogue(catalogue)
    assert len(opened) == len(expected)
    assert rows["object_id"].tolist() == expected["object_id"].to_pylist()
    assert rows["mmae_z_median"].tolist() == pytest.approx(expected["mmae_z_median"].to_pylist())
    assert list(rows["mmae_pz_edge"].iloc[0]) == expected["mmae_pz_edge"][0].as_py()


@pytest.mark.long
def test_it_joins_its_input(catalogue):
    """Cross-match on the sky, and join by object_id: every row of the catalogue, each with itself."""
    survey = catalogue.parent / "s" / "test"
    table = pq.read_table(survey, columns=["object_id", "ra", "dec", "redshift"], partitioning=None)
    frame = table.to_pandas(types_mapper=pd.ArrowDtype)
    of_input = lsdb.from_dataframe(frame, ra_column="ra", dec_column="dec", catalog_name="input", margin_threshold=10)
    opened = lsdb.open_catalog(str(catalogue))
    ids = sorted(read_catalogue(catalogue, ["object_id"])["object_id"].to_pylist())
    matched = of_input.crossmatch(opened, radius_arcsec=0.01, n_neighbors=5, suffixes=("_in", "")).compute()
    assert sorted(matched["object_id"]) == ids and (matched["object_id"] == matched["object_id_in"]).all()
    joined = of_input.join(opened, left_on="object_id", right_on="object_id", suffixes=("_in", "")).compute()
    assert sorted(joined["object_id"]) == ids and (joined["object_id"] == joined["object_id_in"]).all()
    assert pa.table(matched[["redshift_in"]])["redshift_in"].null_count == 0
