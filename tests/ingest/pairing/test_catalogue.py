"""Catalogues of objects as people have them: any form of text, missing values, wrong units."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from astropy.table import Table

from mmae.core.errors import InputError
from mmae.ingest.description import CatalogueColumns
from mmae.ingest.pairing.catalogue import index_catalogue
from mmae.ingest.readers.redshifts import index_redshifts
from mmae.survey.schema import SurveySpec

SPEC = SurveySpec()


@pytest.mark.parametrize(
    "text",
    [
        "# object_id,ra,dec,mag\n42063891853123457,150.0,-2.0,20.5\n9,1,2,99.0\n",
        "object_id;ra;dec;mag\n42063891853123457;150,0;-2,0;20,5\n9;1;2;-99\n",
        "\ufeffobject_id\tra\tdec\tmag\r\n42063891853123457\t10:00:00\t-02:00:00\t20.5\r\n9\t1.0\t2.0\t\r\n",
    ],
)
def test_catalogues_in_any_form_of_text(tmp_path, text):
    (tmp_path / "c.csv").write_text(text)
    rows, rejections = index_catalogue(str(tmp_path / "c.csv"), CatalogueColumns(magnitudes={"g": "mag"}), SPEC.bands)
    assert rows["object_id"].to_pylist() == ["42063891853123457", "9"] and rejections == []
    assert rows["ra"].to_pylist() == [150, 1] and rows["dec"].to_pylist() == [-2, 2]
    np.testing.assert_array_equal([row[0] for row in rows["magnitudes"].to_pylist()], [20.5, np.nan])


def test_missing_values_of_a_catalogue(tmp_path):
    """-99 is neither a redshift nor a position nor an id."""
    (tmp_path / "c.csv").write_text("object_id,ra,dec,z\na,1,2,-99\nb,1,2,null\nc,1,2,0.5\nnull,1,2,1\nd,-99,2,1\n")
    rows, rejections = index_catalogue(str(tmp_path / "c.csv"), CatalogueColumns(redshift="z"), SPEC.bands)
    np.testing.assert_array_equal(np.array(rows["redshift"].to_pylist(), float), [np.nan, np.nan, 0.5])
    assert [r.where.rpartition(", ")[2] for r in rejections] == ["row 3", "row 4"]


def test_numbers_that_a_table_has_for_unknown_values(tmp_path):
    """Magnitudes of exactly 0 without being told, redshifts only where the description says so: stars have them."""
    (tmp_path / "c.csv").write_text("object_id,ra,dec,z,mag\na,1,2,0,0\nb,1,2,0.5,20\nc,1,2,-9,30\n")
    columns = CatalogueColumns(redshift="z", magnitudes={"g": "mag"})
    for missing, redshifts, magnitudes in (
        ((), [0, 0.5, np.nan], [np.nan, 20, 30]),
        ((0.0, 30.0), [np.nan, 0.5, np.nan], [np.nan, 20, np.nan]),
    ):
        rows, _ = index_catalogue(str(tmp_path / "c.csv"), replace(columns, missing=missing), SPEC.bands)
        np.testing.assert_array_equal(np.array(rows["redshift"].to_pylist(), float), redshifts)
        np.testing.assert_array_equal([row[0] for row in rows["magnitudes"].to_pylist()], magnitudes)


def test_a_wrong_unit_of_a_catalogue_is_overruled(tmp_path):
    table = Table({"object_id": ["a"], "ra": [10.0], "dec": [1.0], "pm": [2.0] * u.s, "mag": [20.0] * u.Jy})
    table["ra"].unit = u.Unit("HOURS", parse_strict="silent")
    table.write(tmp_path / "c.fits")
    columns = CatalogueColumns(pmra="pm", magnitudes={"g": "mag"})
    with pytest.raises(InputError, match="column .*override_units"):
        index_catalogue(str(tmp_path / "c.fits"), columns, SPEC.bands)
    columns = replace(columns, override_units={"pmra": "arcsec/year", "magnitudes": "mag"})
    rows, _ = index_catalogue(str(tmp_path / "c.fits"), columns, SPEC.bands)
    assert rows["ra"].to_pylist() == pytest.approx([150]) and rows["pmra"].to_pylist() == pytest.approx([2000])
    assert rows["magnitudes"][0].as_py()[0] == 20
    for wrong in ({"colour": "mag"}, {"ra": "furlongs"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            CatalogueColumns(override_units=wrong)


def test_redshift_tables_without_a_redshift(tmp_path):
    table = Table({"TARGETID": [1, 2, 3, 4], "Z": [0.5, -99.0, np.nan, -0.001]})
    table.write(tmp_path / "z.fits")
    assert index_redshifts(str(tmp_path / "z.fits"))["targetid"].to_pylist() == [1, 4]
