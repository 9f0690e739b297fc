"""Batches from Parquet shards, read with Ray Data."""

import errno
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from mmae.core.errors import InputError
from mmae.ingest.build import build_survey
from mmae.loader import row_groups as row_group_module
from mmae.loader import stream
from mmae.loader.collate import galaxy_columns, input_spec
from mmae.loader.config import StreamConfig
from mmae.loader.row_groups import read_group, row_groups
from mmae.loader.sampler import Portion
from mmae.loader.stream import CollateGalaxies, batches, make_sampler, read_split, training_batches
from tests.ingest.small import in_turn
from tests.ingest.test_build import SPEC, make_galaxy, memory_source


@pytest.fixture(scope="module")
def survey(tmp_path_factory, ray_cluster):
    return build_survey([memory_source(300, 60)], tmp_path_factory.mktemp("stream") / "s", run=in_turn)


CACHED, STREAMED = StreamConfig(), StreamConfig(cache_gb=0)


@pytest.mark.parametrize("config", [CACHED, STREAMED], ids=["cached", "streamed"])
def test_batches_equal_the_survey_exactly(survey, config):
    seen = Counter()
    for batch in batches(read_split(survey, "train", config), SPEC, 16):
        for i, name in enumerate(batch.object_id):
            truth = make_galaxy(int(name[1:]))
            seen[name] += 1
            has_image = truth.image_CHW is not None and not np.isinf(truth.image_CHW).any()
            assert bool(batch.present["image"][i]) == has_image
            expected = truth.image_CHW if has_image else np.zeros(SPEC.image_shape, np.float32)
            np.testing.assert_array_equal(batch.image_BCHW[i].numpy(), expected)  # NaN where not observed
            assert bool(batch.present["spectrum"][i]) == (truth.flux_L is not None)
            if truth.flux_L is not None:
                assert np.array_equal(batch.flux_BL[i].numpy(), truth.flux_L)
                assert np.array_equal(batch.ivar_BL[i].numpy(), truth.ivar_L)
            assert bool(batch.redshift_known_B[i]) == (truth.redshift >= 0)
            if truth.redshift >= 0:
                assert batch.redshift_B[i].item() == pytest.approx(truth.redshift)
    assert set(seen.values()) == {1}
    assert len(seen) == survey.rows_per_split()["train"]


SEED, STEPS = 3, 40


def run(**options) -> StreamConfig:
    """Epochs of about 300 galaxies, batches of 16, windows of four batches."""
    return StreamConfig(batch_size=16, shuffle_rows=64, **options)


def names(survey, config: StreamConfig, step: int = 0, portion: Portion = Portion()) -> list[list[str]]:
    batches = training_batches(survey, config, seed=SEED, steps=STEPS, step=step, portion=portion)
    return [batch.object_id for batch in batches][: STEPS - step]


def test_batches_follow_the_sampler(survey):
    sampler, groups = make_sampler(survey, run(), SEED), row_groups(survey, "train")
    tables = [pq.read_table(group.path, columns=["object_id"])["object_id"].to_pylist() for group in groups]
    group_N, row_N = (
        np.concatenate(parts) for parts in zip(*(sampler.window(w, Portion()) for w in range(10)), strict=True)
    )
    expected = [tables[group][row] for group, row in zip(group_N, row_N, strict=True)]
    assert sum(names(survey, run()), []) == expected


def test_only_a_fraction_of_unlabelled_galaxies_is_drawn(survey):
    groups = row_groups(survey, "train")
    tables = [pq.read_table(group.path, columns=["object_id", "redshift"]) for group in groups]
    known = {row["object_id"] for table in tables for row in table.to_pylist() if row["redshift"] is not None}
    assert 0 < len(known) < survey.rows_per_split()["train"]
    n = make_sampler(survey, run(unlabelled=0.0), SEED).n_rows
    assert n == len(known) and set(sum(names(survey, run(unlabelled=0.0)), [])) == known
    half = make_sampler(survey, run(unlabelled=0.5), SEED).n_rows
    assert n < half < make_sampler(survey, run(), SEED).n_rows


def test_weights_are_the_inverse_of_the_number_of_times_an_epoch_has_a_galaxy(survey, monkeypatch):
    first = row_groups(survey, "train")[0]

    def kinds_of_rows(group):  # one rare galaxy, in the first row group
        return np.where((np.arange(group.rows) == 0) & (group == first), 1, 0)

    monkeypatch.setattr(stream, "kinds_of_rows", kinds_of_rows)
    config = run(repeat_rare=3)
    sampler = make_sampler(survey, config, SEED)
    times, weights = Counter(), {}
    steps = sampler.n_rows // 16
    for batch in list(training_batches(survey, config, seed=SEED, steps=4 * steps))[: 4 * steps]:
        times.update(batch.object_id)
        weights |= dict(zip(batch.object_id, batch.weight_B.tolist(), strict=True))
    often = {name for name, weight in weights.items() if weight < 1}
    assert len(often) == 1
    mean_often, mean_other = (np.mean([times[name] for name in group]) for group in (often, weights.keys() - often))
    assert mean_often / mean_other == pytest.approx(1 / weights[next(iter(often))], rel=0.2)


def test_an_epoch_without_galaxies_is_refused(survey, monkeypatch):
    monkeypatch.setattr(stream, "unlabelled_rows", lambda group: np.arange(group.rows))
    with pytest.raises(InputError, match="stream.unlabelled is 0.0"):
        make_sampler(survey, run(unlabelled=0.0), SEED)


def test_an_epoch_with_fewer_galaxies_than_lanes_is_refused(survey, monkeypatch):
    groups = row_groups(survey, "train")
    one = next(iter(groups))
    labelled = {one: 3}  # all other row groups have no redshift
    monkeypatch.setattr(stream, "unlabelled_rows", lambda group: np.arange(labelled.get(group, 0), group.rows))
    assert make_sampler(survey, run(unlabelled=0.0, lanes=2), SEED).n_rows == 3
    with pytest.raises(InputError, match="3 .*stream.unlabelled 0.0.*stream.lanes 4"):
        make_sampler(survey, run(unlabelled=0.0, lanes=4), SEED)


def test_a_resumed_run_continues_with_the_same_batches(survey):
    whole = names(survey, run())
    for step in (1, 4, 19, 39):  # within a window, at its start, in the second epoch, the last batch
        assert names(survey, run(), step) == whole[step:]


@pytest.mark.parametrize("at_once", [1, 4])
def test_batches_do_not_depend_on_the_windows_of_a_ray_dataset(survey, monkeypatch, at_once):
    whole = names(survey, run())
    monkeypatch.setattr(stream, "windows_in_store", lambda *_: at_once)
    assert names(survey, run()) == whole
    assert names(survey, run(), 19) == whole[19:]


@pytest.mark.parametrize(
    ("stores", "workers", "expected"),
    [([1000], 1, stream.MOST_WINDOWS), ([15.1], 1, 3), ([22] * 2, 4, 2), ([1000, 15.1], 1, 3), ([1], 1, 1)],
)
def test_windows_of_all_workers_of_a_node_fit_into_its_store(survey, monkeypatch, stores, workers, expected):
    """Stores are in units of a window; 0.4 of one may be used, for two Ray Datasets per worker."""
    monkeypatch.setattr(stream, "STORE_SHARE", 0.4)
    columns, rows = galaxy_columns(survey), 64
    window = rows * stream.row_bytes(survey, columns)
    nodes = [{"Alive": True, "Resources": {"object_store_memory": size * window}} for size in stores]
    monkeypatch.setattr(stream.ray, "nodes", lambda: [*nodes, {"Alive": False, "Resources": {}}])
    assert stream.windows_in_store(survey, columns, rows, workers) == expected


def test_bytes_of_a_row_are_those_of_its_block(survey):
    columns = galaxy_columns(survey)
    table = read_group(row_groups(survey, "train")[0], columns)
    complete = table.filter(table["image"].is_valid()).slice(0, 8).combine_chunks()
    assert stream.row_bytes(survey, columns) == pytest.approx(complete.nbytes / len(complete), rel=0.2)


def test_portions_of_several_workers_add_up_to_the_batches(survey):
    one = names(survey, run(lanes=4))
    for world in (2, 3):
        shares = [names(survey, run(lanes=4), portion=Portion(rank, world)) for rank in range(world)]
        assert [sum(parts, []) for parts in zip(*shares, strict=True)] == one


def test_a_shard_damaged_after_the_start_is_refused_by_name(survey, tmp_path, monkeypatch):
    """Without checksums, Parquet would return wrong values for flipped bits."""
    copy = replace(survey, path=tmp_path / "s")
    shutil.copytree(survey.path, copy.path)
    victim = Path(row_groups(copy, "train")[0].path)
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    monkeypatch.setattr(row_group_module.time, "sleep", lambda _: pytest.fail("retried a damaged file"))
    with pytest.raises(InputError, match=f"{victim.name}.*CRC"):
        read_group(row_groups(copy, "train")[0], galaxy_columns(copy))


def test_temporary_storage_errors_are_retried(survey, monkeypatch):
    waited = []
    file = row_group_module.pq.ParquetFile

    def failing(*args, **options):
        if len(waited) < 2:
            raise OSError(errno.ESTALE, "stale file handle")
        return file(*args, **options)

    group = row_groups(survey, "train")[0]
    expected = read_group(group, galaxy_columns(survey))
    monkeypatch.setattr(row_group_module.pq, "ParquetFile", failing)
    monkeypatch.setattr(row_group_module.time, "sleep", waited.append)
    assert read_group(group, galaxy_columns(survey)).equals(expected) and waited == [1.0, 4.0]


def test_float16_images_are_converted_to_float32(tmp_path, ray_cluster):
    half = replace(SPEC, image_dtype="float16")
    survey = build_survey([replace(memory_source(40), spec=half)], tmp_path / "s", run=in_turn)
    batch = next(batches(read_split(survey, "train", CACHED), half, 8))
    assert batch.image_BCHW.dtype == torch.float32
    index = int(batch.present["image"].nonzero()[0])
    truth = make_galaxy(int(batch.object_id[index][1:])).image_CHW
    np.testing.assert_array_equal(batch.image_BCHW[index].numpy(), truth.astype(np.float16).astype(np.float32))


def test_missing_magnitudes_are_nan_or_absent(survey):
    import pyarrow as pa

    table = pa.table(
        {
            "object_id": ["a", "b", "c"],
            "redshift": pa.array([0.1, None, 0.3], pa.float32()),
            "image": pa.array([None] * 3, pa.binary(4 * 5 * 8 * 8)),
            **{
                f"{band}_cmodel_mag": pa.array([20.0 + i, None, None if i else 22.0], pa.float32())
                for i, band in enumerate(SPEC.bands)
            },
        }
    )
    batch = CollateGalaxies(SPEC)(table)
    magnitudes = batch.values["magnitudes"]
    assert batch.present["magnitudes"].tolist() == [True, False, True]
    assert magnitudes[0].tolist() == [20.0 + i for i in range(len(SPEC.bands))]
    assert not magnitudes[1].any() and magnitudes[2, 0] == 22.0 and magnitudes[2, 1:].isnan().all()
    assert not batch.values["magnitude_errors"].any()  # no such columns: the magnitudes are there nevertheless
    # The table has no spectrum columns: absent, with the right shape.
    assert not batch.present["spectrum"].any() and batch.flux_BL.shape == (3, SPEC.n_wavelengths)


def test_collate_accepts_sliced_and_chunked_tables(survey):
    """A batch may start within one Arrow buffer and end in another."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = [pq.read_table(f) for f in survey.files("train")[:2]]
    whole = pa.concat_tables([tables[0].slice(5, 9), tables[1].slice(3, 4)])
    batch = CollateGalaxies(SPEC)(whole)
    alone = [CollateGalaxies(SPEC)(whole.slice(i, 1)) for i in range(whole.num_rows)]
    images_BCHW = torch.cat([b.image_BCHW for b in alone])
    torch.testing.assert_close(batch.image_BCHW, images_BCHW, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(batch.flux_BL, torch.cat([b.flux_BL for b in alone]))
    assert batch.object_id == [b.object_id[0] for b in alone]


def test_input_spec_follows_the_survey():
    assert input_spec(SPEC).n_bands == 5 and input_spec(SPEC).n_wavelengths == 50
