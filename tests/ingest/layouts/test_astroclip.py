"""AstroCLIP's HDF5 file: groups, channels last, spectra without inverse variance."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from tests.ingest.sources.mmu import star
from tests.ingest.sources.read import galaxies_of, opened


@pytest.fixture
def written(tmp_path):
    rng, content = np.random.default_rng(0), {}
    path = tmp_path / "astroclip_desi.1.1.5.h5"
    with h5py.File(path, "w") as file:
        for group in range(10):
            n = 3 if group else 2
            noise = np.linspace(0.5, 2, 7781)
            spectra = 5 + rng.normal(0, 1, (n, 7781, 1)) * noise[:, None]
            spectra[:, 1000:1010] = 0
            values = {
                "images": (star(19, 22.5, 152)[..., None] * [1, 2, 4] + rng.normal(0, 3e-3, (n, 152, 152, 3))),
                "spectra": spectra,
                "redshifts": rng.uniform(0, 1, n),
                "targetids": 1000 * group + np.arange(n),
            }
            for name, value in values.items():
                kind = "i8" if name == "targetids" else "f8" if name == "redshifts" else "f4"
                file.create_dataset(f"{group}/{name}", data=value.astype(kind))
                content.setdefault(name, []).append(value.astype(kind))
    return path, {name: np.concatenate(parts) for name, parts in content.items()}


def test_values_arrive(written):
    path, content = written
    galaxies = galaxies_of("astroclip", path)
    assert list(galaxies) == [str(i) for i in content["targetids"]]
    for i, galaxy in enumerate(galaxies.values()):
        np.testing.assert_array_equal(galaxy.image_CHW, content["images"][i, 44:108, 44:108].transpose(2, 0, 1))
        assert galaxy.redshift == content["redshifts"][i] and galaxy.targetid == content["targetids"][i]
        good = galaxy.ivar_L > 0
        assert not good[1000:1010].any() and good.sum() == 7771
        np.testing.assert_array_equal(galaxy.flux_L[good], content["spectra"][i, good, 0])
    magnitudes = 22.5 - 2.5 * np.log10(galaxy.image_CHW.sum(axis=(1, 2)))
    np.testing.assert_allclose(magnitudes, 19 - 2.5 * np.log10([1, 2, 4]), atol=0.05)


def test_noise_is_measured(written):
    path, _ = written
    sigma = np.median([g.ivar_L[1100:] ** -0.5 for g in galaxies_of("astroclip", path).values()], axis=0)
    np.testing.assert_allclose(sigma, np.linspace(0.5, 2, 7781)[1100:], rtol=0.15)


def test_the_survey_has_its_own_normalisation(written):
    spec = opened("astroclip", written[0]).spec
    assert spec.bands == ("g", "r", "z") and (spec.zero_point, spec.pixel_scale) == (22.5, 0.262)
    np.testing.assert_allclose(spec.band_noise, 3e-3, rtol=0.2)
