"""The HSC cutout reader: which files are accepted as cutouts."""

import pytest

from mmae.core.errors import InputError
from mmae.ingest.readers.hsc import hsc_source


def test_missing_files_and_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.npz"):
        hsc_source([tmp_path / "none.npz"])
    with pytest.raises(InputError, match=str(tmp_path)):
        hsc_source([tmp_path])  # an empty folder
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(InputError, match=r"a\.txt"):
        hsc_source([tmp_path / "a.txt"])
    (tmp_path / "a.npz").write_text("x")
    with pytest.raises(InputError, match=r"a\.npz"):
        hsc_source([tmp_path / "a.npz"])
    with pytest.raises(InputError, match="hsc: "):
        hsc_source([])
    with pytest.raises(InputError, match="max_outside is 1.5"):
        hsc_source([tmp_path / "a.npz"], max_outside=1.5)
