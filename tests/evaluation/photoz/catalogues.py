"""Catalogues for the tests of point redshifts."""

from __future__ import annotations

import numpy as np

from mmae.evaluation.catalogue import Catalogue


def make_catalogue(redshift_N, bands=("g", "r", "i"), **columns) -> Catalogue:
    """A catalogue with these redshifts; other columns as keywords."""
    redshift_N = np.asarray(redshift_N, float)
    n = redshift_N.size
    name_N, none_N, nan_N = np.arange(n).astype(str).astype(object), np.full(n, "", object), np.full(n, np.nan)
    values = {
        "object_id_N": name_N,
        "targetid_N": np.full(n, -1),
        "ra_N": nan_N,
        "dec_N": nan_N,
        "redshift_N": redshift_N,
        "mag_NC": np.full((n, len(bands)), np.nan),
        "bands": bands,
        "morphtype_N": none_N,
        "group_id_N": name_N,
        "kind_N": none_N,
    }
    return Catalogue(**values | columns)
