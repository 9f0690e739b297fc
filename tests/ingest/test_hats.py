"""Which files of HATS catalogues and collections are read as catalogues."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmae.astro.tables import TABLE_ENDINGS
from mmae.core.errors import InputError
from mmae.ingest.description import CatalogueColumns
from mmae.ingest.files import expand
from mmae.ingest.hats import catalogue_files
from mmae.ingest.pairing.catalogue import index_catalogue

COLLECTION = Path(__file__).parents[2].parent / "shared" / "data" / "catalogues" / "hats_elaisfbmc_collection"


def found(*patterns: Path | str) -> list[str]:
    return expand([str(p) for p in patterns], TABLE_ENDINGS, "catalogues", catalogue_files)


def write(path: Path, text: str = "Norder,Npix\n0,4\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_catalogue(root: Path, kind: str, pixels: tuple[int, ...] = (4,), properties: str = "hats.properties") -> list:
    """A catalogue with the files beside its partitions; returns the partitions."""
    parts = [root / f"dataset/Norder=0/Dir=0/Npix={pixel}.parquet" for pixel in pixels]
    for part in (*parts, root / "dataset/data_thumbnail.parquet"):
        part.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"id": [1]}), part)
    for name in ("partition_info.csv", "skymap.fits", "point_map.fits"):
        write(root / name)
    write(root / properties, f"#HATS catalog\nobs_collection=x\ndataproduct_type={kind}\n" if kind else "name=x\n")
    return [str(part) for part in parts]


@pytest.mark.parametrize("properties", ["hats.properties", "properties"])
@pytest.mark.parametrize("kind", ["object", "source", ""])
def test_partitions_of_a_catalogue(tmp_path, kind, properties):
    parts = write_catalogue(tmp_path / "c", kind, (4, 5), properties)
    assert found(tmp_path / "c") == found(tmp_path / "c" / "dataset") == found(tmp_path) == sorted(parts)
    assert found(f"{tmp_path}/**/*.parquet") == sorted(parts)


def test_margins_and_indexes_are_not_rows(tmp_path):
    parts = write_catalogue(tmp_path / "c", "object")
    for kind in ("margin", "index", "association"):
        write_catalogue(tmp_path / f"c_{kind}", kind)
    assert found(tmp_path) == found(f"{tmp_path}/**/*.parquet") == parts
    write(tmp_path / "other.csv")
    assert found(tmp_path) == [*parts, str(tmp_path / "other.csv")]
    with pytest.raises(InputError, match="c_margin: .*margin"):
        found(tmp_path / "c_margin")


def test_only_the_main_catalogue_of_a_collection(tmp_path):
    parts = write_catalogue(tmp_path / "c", "object")
    write_catalogue(tmp_path / "c_older", "object")
    write_catalogue(tmp_path / "c_10arcs", "margin", ())
    write(tmp_path / "collection.properties", "obs_collection=x\nhats_primary_table_url=c\nall_margins=c_10arcs\n")
    assert found(tmp_path) == parts


def test_partitions_that_are_folders_and_hipscat(tmp_path):
    pieces = [tmp_path / "c" / f"dataset/Norder=1/Dir=0/Npix=4/part{i}.parquet" for i in (0, 1)]
    old = tmp_path / "old" / "Norder=1" / "Dir=0" / "Npix=4.parquet"
    margin = tmp_path / "old_margin" / "Norder=1" / "Dir=0" / "Npix=4.parquet"
    for piece in (*pieces, old, margin):
        piece.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"id": [1]}), piece)
    write(tmp_path / "c" / "hats.properties", "dataproduct_type=object\n")
    write(tmp_path / "old" / "catalog_info.json", '{"catalog_type": "object"}')
    write(tmp_path / "old" / "partition_info.csv")
    write(tmp_path / "old_margin" / "catalog_info.json", '{"catalog_type": "margin"}')
    assert found(tmp_path) == [*map(str, pieces), str(old)]


def test_other_folders_are_read_whole(tmp_path):
    for name in ("a.csv", "b/partition.csv", "b/c.parquet"):
        write(tmp_path / name)
    assert len(found(tmp_path)) == 3


@pytest.mark.skipif(not COLLECTION.is_dir(), reason=f"{COLLECTION} does not exist")
def test_a_real_collection():
    files = found(COLLECTION)
    assert files == found(COLLECTION / "catalog") == sorted(map(str, COLLECTION.rglob("catalog/**/Npix=*.parquet")))
    columns = CatalogueColumns(object_id="ELAIS", ra="RAdeg", dec="DEdeg")
    parts = [index_catalogue(file, columns, ("g",)) for file in files]
    assert sum(len(table) + len(rejected) for table, rejected in parts) == 3762
