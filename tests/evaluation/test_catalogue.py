"""Reading the catalogue columns of a survey."""

from __future__ import annotations

import numpy as np
import pytest

from mmae.evaluation.catalogue import read_catalogue
from mmae.survey.schema import Galaxy, SurveySpec, to_table
from mmae.survey.store import Shard, Survey, write_shard

SPEC = SurveySpec(
    bands=("r", "i"),
    image_size=4,
    band_noise=(1.0, 1.0),
    arcsinh_mean=(0.0, 0.0),
    arcsinh_std=(1.0, 1.0),
    n_wavelengths=8,
)


@pytest.fixture
def survey(tmp_path) -> Survey:
    """Two shards of the test split and one of the training split; the second galaxy has only an image."""
    image = np.ones(SPEC.image_shape, np.float32)
    galaxies = [
        Galaxy(
            "a",
            ra=10.0,
            dec=-5.0,
            targetid=7,
            redshift=0.25,
            image_CHW=image,
            morphtype="PSF",
            cmodel_mag_C=np.array([20.0, 19.5]),
            group_id="g",
        ),
        Galaxy("b", image_CHW=image, cmodel_mag_C=np.array([np.nan, 21.0])),
        Galaxy("c", ra=11.0, dec=-5.0, redshift=1.5, image_CHW=image),
    ]
    shards = []
    for name, split, rows in (("1", "test", galaxies[:2]), ("2", "test", galaxies[2:]), ("3", "train", galaxies[:1])):
        path = f"{split}/{name}.parquet"
        shards.append(
            Shard(path, split, len(rows), write_shard(to_table(rows, [split] * len(rows), SPEC), tmp_path / path))
        )
    return Survey(tmp_path, SPEC, {}, {}, "hash", tuple(shards))


def test_columns_and_missing_values(survey):
    catalogue = read_catalogue(survey, "test")
    assert list(catalogue.object_id_N) == ["a", "b", "c"] and len(catalogue) == 3
    assert list(catalogue.targetid_N) == [7, -1, -1]
    np.testing.assert_array_equal(catalogue.ra_N, [10.0, np.nan, 11.0])
    np.testing.assert_allclose(catalogue.redshift_N, [0.25, np.nan, 1.5])
    assert list(catalogue.morphtype_N) == ["PSF", "", ""] and list(catalogue.group_id_N) == ["g", "b", "c"]
    np.testing.assert_allclose(catalogue.magnitude("i"), [19.5, 21.0, np.nan])
    np.testing.assert_allclose(catalogue.magnitude("r"), [20.0, np.nan, np.nan])
    assert np.isnan(catalogue.magnitude("u")).all()
    assert list(catalogue.kind_N) == ["", "", ""]  # a survey without truth


def test_selection_and_order(survey):
    reordered = read_catalogue(survey, "test").in_order(["b", "a"])
    assert list(reordered.object_id_N) == ["b", "a"]
    np.testing.assert_array_equal(reordered.redshift_N, read_catalogue(survey, "test").redshift_N[[1, 0]])
    chosen = read_catalogue(survey, "test").chosen(np.array([True, False, True]))
    assert list(chosen.object_id_N) == ["a", "c"] and chosen.mag_NC.shape == (2, 2) and chosen.bands == ("r", "i")
