"""The rule of which pixels were observed, pixel by pixel, for readers and for arrays given to a model."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmae.astro.observed import nan_where_unobserved

VALUES = st.sampled_from([np.nan, np.inf, -np.inf, -3.0, 0.0, 1.5])


@settings(max_examples=100, deadline=None)
@given(arrays(np.float32, (3, 2, 2), elements=VALUES), arrays(bool, (3, 2, 2)))
def test_bands_are_independent_and_pixels_kept_or_missing(image, observed):
    kept = nan_where_unobserved(image, observed)
    assert kept.dtype == np.float32
    for band, values, seen in zip(kept, image, observed, strict=True):
        good = [at for at in np.ndindex(2, 2) if seen[at] and np.isfinite(values[at])]
        if all(values[at] == 0 for at in good):
            good = []
        for at in np.ndindex(2, 2):
            assert band[at] == values[at] if at in good else np.isnan(band[at])


def test_any_number_of_axes_before_the_pixels():
    images = np.arange(1, 33.0).reshape(2, 2, 2, 4)
    images[1, 0] = 0
    kept = nan_where_unobserved(images)
    assert np.isnan(kept[1, 0]).all() and np.isnan(kept).sum() == 8
    np.testing.assert_array_equal(kept[0, 1], nan_where_unobserved(images[0, 1]))
