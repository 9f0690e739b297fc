"""Missing pixels of an image: fractions, accepted images, and their way through a Parquet row."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmae.survey.missing import missing_by_band, missing_fault, missing_fraction


@settings(max_examples=100, deadline=None)
@given(arrays(np.float32, (3, 4, 5), elements=st.sampled_from([np.nan, 0.0, 2.0])), st.sampled_from([0, 0.1, 0.5, 1]))
def test_only_bands_with_data_count(image, most):
    missing = [sum(map(np.isnan, band.ravel())) / band.size for band in image]
    np.testing.assert_allclose(missing_by_band(image), missing)
    seen = [fraction for fraction in missing if fraction < 1]
    assert missing_fraction(image) == pytest.approx(np.mean(seen) if seen else 1)
    assert bool(missing_fault(image, most)) == (not seen or missing_fraction(image) > most)


def test_whole_bands_may_be_missing():
    image = np.full((5, 8, 8), np.nan)
    image[2] = 1.0
    assert missing_fraction(image) == 0 and not missing_fault(image, 0.0)
    image[3, 0, 0] = 1.0  # hardly any of this one
    assert "49%" in missing_fault(image, 0.1) and not missing_fault(image, 0.5)
    assert "no pixel" in missing_fault(np.full((5, 8, 8), np.nan), 1.0)
