"""Which pixels were observed: values, weights, mask bits, ends of an image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmae.ingest.readers.observed import crop_or_pad, keep_observed, mask_bits

SIDE = 6
IMAGES = arrays(np.float32, (SIDE, SIDE), elements=st.sampled_from([np.nan, np.inf, -np.inf, -3.0, 0.0, 1.5]))
WEIGHTS = arrays(np.float32, (SIDE, SIDE), elements=st.sampled_from([np.nan, -1.0, 0.0, 1e-30, 2.0]))
MASKS = arrays(np.int32, (SIDE, SIDE), elements=st.integers(0, 2**20))


@settings(max_examples=100, deadline=None)
@given(IMAGES, WEIGHTS, MASKS, st.integers(0, 2**20))
def test_a_pixel_is_kept_or_missing(image, weight, mask, bits):
    kept = keep_observed(image, [weight], [(mask, bits)])
    expected = image.copy()
    for at in np.ndindex(image.shape):
        flagged = any(int(mask[at]) >> bit & 1 and bits >> bit & 1 for bit in range(21))
        if not (np.isfinite(image[at]) and weight[at] > 0 and not flagged):
            expected[at] = np.nan
    if not np.nan_to_num(expected).any():
        expected[:] = np.nan
    np.testing.assert_array_equal(kept, expected)
    assert kept.dtype == np.float32


def test_a_mask_is_unknown_beyond_its_edge():
    """There the image is missing too; NaN in a mask, which has been converted, flags nothing."""
    mask = np.array([[0.0, 3.0], [np.nan, 4.0]])
    np.testing.assert_array_equal(keep_observed(np.ones((2, 2)), masks=[(mask, 2)]), [[1, np.nan], [1, 1]])


def test_the_crop_of_an_even_margin_is_symmetric():
    image = np.arange(66 * 68.0).reshape(66, 68)
    np.testing.assert_array_equal(crop_or_pad(image, 64), image[1:65, 2:66])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 12))
def test_a_crop_is_the_centre_of_the_image_on_an_infinite_plane(height, width, size):
    image = np.arange(1, height * width + 1, dtype=np.float32).reshape(1, height, width)
    wide = np.pad(image, ((0, 0), (20, 20), (20, 20)), constant_values=np.nan)
    top, left = 20 + (height - size) // 2, 20 + (width - size) // 2
    np.testing.assert_array_equal(crop_or_pad(image, size), wide[:, top : top + size, left : left + size])


def test_bits_of_a_mask():
    header = {"MP_BAD": 0, "MP_SAT": 1, "MP_NO_DATA": 8, "NAXIS": 2}
    assert mask_bits(header, ("NO_DATA",)) == 256
    assert mask_bits(header, ("NO_DATA", "sat", "BAD")) == 259
    assert mask_bits({"MP_BAD": 0}, ("NO_DATA",)) == 0
    with pytest.raises(ValueError, match="no bit SATT, found BAD, NO_DATA, SAT"):
        mask_bits(header, ("SATT",))
