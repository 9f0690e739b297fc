"""Common functions of the readers."""

import numpy as np

from mmae.ingest.readers.values import crop_centre


def test_crop_centre_of_an_even_margin_is_symmetric():
    image = np.arange(66 * 68.0).reshape(66, 68)
    np.testing.assert_array_equal(crop_centre(image, 64), image[1:65, 2:66])
