"""The HSC cutout reader: which files are taken for cutouts."""

import pytest

from mmae.core.errors import InputError
from mmae.ingest.readers.hsc import hsc_source


def test_files_that_are_not_there_or_not_cutouts(tmp_path):
    with pytest.raises(InputError, match=r"none\.npz: no such file"):
        hsc_source([tmp_path / "none.npz"])
    with pytest.raises(InputError, match="no HSC cutouts"):
        hsc_source([tmp_path])  # an empty folder
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(InputError, match=r"a\.txt: no HSC cutouts"):
        hsc_source([tmp_path / "a.txt"])
    (tmp_path / "a.npz").write_text("x")
    with pytest.raises(InputError, match=r"a\.npz: not a readable \.npz archive"):
        hsc_source([tmp_path / "a.npz"])
    with pytest.raises(InputError, match="no cutouts given"):
        hsc_source([])
    with pytest.raises(InputError, match="max_outside is 1.5"):
        hsc_source([tmp_path / "a.npz"], max_outside=1.5)
