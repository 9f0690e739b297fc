"""All layouts by name."""

from __future__ import annotations

from mmae.ingest.layouts import astroclip, desi_spectra, hdf5, parquet, sdss_plate, sdss_spec
from mmae.ingest.layouts.layout import Layout

LAYOUTS: dict[str, Layout] = {
    "hdf5": hdf5,
    "parquet": parquet,
    "sdss-spec": sdss_spec,
    "sdss-plate": sdss_plate,
    "astroclip": astroclip,
    "desi-spectra": desi_spectra,
}
