"""The known-source veto."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.table import Table

from mmae.core.errors import InputError
from mmae.steepspec.known import find_known, pulsars_as_known, read_known

PSRS = Table({"name": ["J0437", "B1937"], "ra": [69.0, 294.0], "dec": [-47.0, 21.0], "class": ["pulsar", "pulsar"]})


def test_nearest_known_source_within_the_radius_of_the_first_list():
    other = Table({"name": ["QSO", "far"], "ra": [69.0005, 10.0], "dec": [-47.0, 0.0], "class": ["agn", "star"]})
    ra, dec = np.array([69.001, 69.001, 10.0, 200.0]), np.array([-47.0, -46.9, 0.0005, 0.0])
    name, kind = find_known(ra, dec, [PSRS, other], np.full(4, 5.0))
    assert name.tolist() == ["J0437", "", "far", ""] and kind.tolist() == ["pulsar", "", "star", ""]
    name, _ = find_known(ra, dec, [other, PSRS], np.full(4, 5.0))
    assert name.tolist() == ["QSO", "", "far", ""]
    # 0.001 degrees of right ascension are 2.5 arcsec at this declination
    name, _ = find_known(ra, dec, [PSRS], np.array([2.0, 5.0, 5.0, 5.0]))
    assert name.tolist() == ["", "", "", ""]
    assert find_known(ra[:0], dec[:0], [PSRS], np.zeros(0))[0].shape == (0,)


def test_list_from_a_file(tmp_path):
    path = tmp_path / "known.csv"
    path.write_text("NAME,RA,Dec,Class\n3C 273,187.28,2.05,agn\nProxima,217.4,-62.7,star\n")
    known = read_known(path)
    assert known["name"].tolist() == ["3C 273", "Proxima"] and known["ra"].tolist() == [187.28, 217.4]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("name,ra,dec\na,1,2\n", "column class"),
        ("name,ra,dec,class\na,1,2,blazar\n", "row 0 .*'blazar'"),
        ("name,ra,dec,class\na,1,2,agn\nb,1,,agn\n", "row 1 first, 1 in all"),
        ("name,ra,dec,class\na,x,2,agn\n", "row 0 .*'x'"),
    ],
)
def test_error_names_the_row_of_an_invalid_list(tmp_path, text, named):
    path = tmp_path / "known.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=named):
        read_known(path)


def test_pulsars_of_psrcat_have_the_class_pulsar():
    table = Table({"name": ["J1"], "ra": [1.0], "dec": [2.0], "period": [0.1]}, units={"ra": "deg", "dec": "deg"})
    assert pulsars_as_known(table)["class"].tolist() == ["pulsar"]


def test_known_sources_in_sexagesimal_text(tmp_path):
    (tmp_path / "known.dat").write_text("# name ra dec class\nA 12:00:00 -30:30:00 pulsar\nB 1:00:00 +10:00:00 agn\n")
    table = read_known(tmp_path / "known.dat")
    assert list(table["ra"]) == [180, 15] and list(table["dec"]) == [-30.5, 10]
