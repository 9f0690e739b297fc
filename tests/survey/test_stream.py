"""Parquet shards -> Ray Data -> torch batches."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from mmae.config import StreamConfig
from mmae.survey.build import build_survey
from mmae.survey.stream import CollateGalaxies, batches, input_spec, read_split
from tests.survey.test_build import SPEC, make_galaxy, memory_source


@pytest.fixture(scope="module")
def survey(tmp_path_factory, ray_cluster):
    return build_survey([memory_source(300, 60)], tmp_path_factory.mktemp("stream") / "s")


CACHED, STREAMED = StreamConfig(), StreamConfig(cache_gb=0)


@pytest.mark.parametrize("config", [CACHED, STREAMED], ids=["cached", "streamed"])
def test_batches_hold_the_survey_bit_by_bit(survey, config):
    seen = Counter()
    for batch in batches(read_split(survey, "train", config), SPEC, 16):
        for i, name in enumerate(batch.object_id):
            truth = make_galaxy(int(name[1:]))
            seen[name] += 1
            has_image = truth.image_CHW is not None and np.isfinite(truth.image_CHW).all()
            assert bool(batch.image_present_B[i]) == has_image
            expected = truth.image_CHW if has_image else np.zeros(SPEC.image_shape, np.float32)
            assert np.array_equal(batch.image_BCHW[i].numpy(), expected)
            assert bool(batch.spectrum_present_B[i]) == (truth.flux_L is not None)
            if truth.flux_L is not None:
                assert np.array_equal(batch.flux_BL[i].numpy(), truth.flux_L)
                assert np.array_equal(batch.ivar_BL[i].numpy(), truth.ivar_L)
            assert bool(batch.redshift_known_B[i]) == (truth.redshift >= 0)
            if truth.redshift >= 0:
                assert batch.redshift_B[i].item() == pytest.approx(truth.redshift)
    assert set(seen.values()) == {1}
    assert len(seen) == survey.rows_per_split()["train"]


@pytest.mark.parametrize("config", [CACHED, STREAMED], ids=["cached", "streamed"])
def test_shuffle_is_a_seeded_permutation(survey, config):
    def order(seed: int) -> list[str]:
        data = read_split(survey, "train", config, seed=3)
        return [name for b in batches(data, SPEC, 16, shuffle_rows=64, seed=seed) for name in b.object_id]

    first = order(1)
    assert order(1) == first
    assert order(2) != first and sorted(order(2)) == sorted(first)


def test_streamed_epochs_take_the_shards_in_different_orders(survey):
    data = read_split(survey, "train", STREAMED, seed=3)
    epochs = [[n for b in batches(data, SPEC, 16) for n in b.object_id] for _ in range(2)]
    assert epochs[0] != epochs[1] and sorted(epochs[0]) == sorted(epochs[1])


def test_float16_images_arrive_as_float32(tmp_path, ray_cluster):
    half = replace(SPEC, image_dtype="float16")
    survey = build_survey([replace(memory_source(40), spec=half)], tmp_path / "s")
    batch = next(batches(read_split(survey, "train", CACHED), half, 8))
    assert batch.image_BCHW.dtype == torch.float32
    index = int(batch.image_present_B.nonzero()[0])
    truth = make_galaxy(int(batch.object_id[index][1:])).image_CHW
    assert np.array_equal(batch.image_BCHW[index].numpy(), truth.astype(np.float16).astype(np.float32))


def test_collate_reads_sliced_and_chunked_tables(survey):
    """A batch may start in the middle of one Arrow buffer and end in another."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = [pq.read_table(f) for f in survey.files("train")[:2]]
    whole = pa.concat_tables([tables[0].slice(5, 9), tables[1].slice(3, 4)])
    batch = CollateGalaxies(SPEC)(whole)
    alone = [CollateGalaxies(SPEC)(whole.slice(i, 1)) for i in range(whole.num_rows)]
    assert torch.equal(batch.image_BCHW, torch.cat([b.image_BCHW for b in alone]))
    assert torch.equal(batch.flux_BL, torch.cat([b.flux_BL for b in alone]))
    assert batch.object_id == [b.object_id[0] for b in alone]


def test_model_input_follows_the_survey():
    assert input_spec(SPEC).n_bands == 5 and input_spec(SPEC).n_wavelengths == 50
