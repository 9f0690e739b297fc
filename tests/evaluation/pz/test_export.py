"""Files for qp: layout, and reading with qp if installed."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from mmae.core.errors import InputError
from mmae.evaluation.pz.export import write_qp
from tests.metrics.samples import EDGES_K1, drawn

IDS = np.array(["43158034708764", "HSC é", "c", "d"], object)


@pytest.fixture
def written(tmp_path):
    pdf, truth_N = drawn(4, 0)
    return write_qp(tmp_path / "new" / "pz_image.hdf5", pdf, IDS), pdf, truth_N


def test_layout_of_a_hist_ensemble(written):
    path, pdf, _ = written
    with h5py.File(path) as file:
        assert set(file) == {"meta", "data", "ancil"}
        assert set(file["meta"]) == {"pdf_name", "pdf_version", "bins"} and set(file["data"]) == {"pdfs"}
        assert file["meta/pdf_name"][()].tolist() == [b"hist"] and file["meta/pdf_version"][()].tolist() == [0]
        bins = file["meta/bins"][()]
        assert bins.shape == (1, len(EDGES_K1))  # qp reads only the first element of a 1-D column
        np.testing.assert_allclose(bins[0], np.exp(EDGES_K1) - 1, atol=1e-12)
        density = file["data/pdfs"][()]
        np.testing.assert_allclose((density * np.diff(bins)).cumsum(axis=1), pdf.cumulative_NK1()[:, 1:], atol=1e-6)
        assert [name.decode() for name in file["ancil/object_id"][()]] == IDS.tolist()
        np.testing.assert_array_equal(file["ancil/zmean"][()], pdf.mean())
        np.testing.assert_array_equal(file["ancil/zmode"][()], pdf.mode())
        np.testing.assert_array_equal(file["ancil/zmedian"][()], pdf.quantile(0.5))


def test_existing_file_is_replaced(written):
    path, pdf, _ = written
    write_qp(path, pdf.chosen(np.array([2])), ["only"])
    with h5py.File(path) as file:
        assert file["data/pdfs"].shape == (1, len(EDGES_K1) - 1)
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_failed_write_leaves_no_file(tmp_path):
    (tmp_path / "pz.hdf5").mkdir()
    with pytest.raises(OSError):
        write_qp(tmp_path / "pz.hdf5", drawn(4, 0)[0], IDS)
    assert [found.name for found in tmp_path.iterdir()] == ["pz.hdf5"]


@pytest.mark.parametrize(
    ("name", "ids", "named"),
    [("pz.h5", IDS, r"\.hdf5"), ("pz.hdf5", IDS[:3], r"\(3,\)"), ("pz.hdf5", IDS[:, None], r"\(4, 1\)")],
)
def test_wrong_suffix_and_wrong_number_of_ids_are_refused(tmp_path, name, ids, named):
    with pytest.raises(InputError, match=named):
        write_qp(tmp_path / name, drawn(4, 0)[0], ids)
    assert not list(tmp_path.iterdir())


def test_empty_sample_is_refused(tmp_path):
    with pytest.raises(InputError, match="pz.hdf5"):
        write_qp(tmp_path / "pz.hdf5", drawn(2, 0)[0].chosen(np.zeros(0, int)), [])


def test_qp_reads_the_file(written):
    qp = pytest.importorskip("qp")
    path, pdf, truth_N = written
    ensemble = qp.read(str(path))
    assert ensemble.npdf == 4 and ensemble.ancil["object_id"].tolist() == IDS.tolist()
    np.testing.assert_allclose(ensemble.cdf(pdf.z_edges_K1), pdf.cumulative_NK1(), atol=1e-6)
    # Largest difference between the edges: 1/8 of a bin's width in ln(1+z) times its probability.
    limit = pdf.width_K[0] / 8 * pdf.probability_NK.max() * 1.02
    assert np.abs(ensemble.cdf(truth_N[:, None]).ravel() - pdf.cdf(truth_N)).max() < limit
    for q in (0.05, 0.5, 0.95):
        np.testing.assert_allclose(ensemble.ppf(q).ravel(), pdf.quantile(q), rtol=1e-4)
