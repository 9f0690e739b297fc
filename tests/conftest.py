"""Fixtures shared by all tests."""

import os

# One thread in each process: the two of pytest, and those that they start, share two cores. Read at import.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from dataclasses import replace
from pathlib import Path

import pytest
import ray
from hypothesis import settings

from mmae.config import ComputeConfig, OptimConfig, RunConfig, ScoreConfig, ValidationConfig
from mmae.core.ray_setup import ALONE_ENV, WORKER_ENV, start_ray
from mmae.ingest.build import build_survey
from mmae.loader.config import StreamConfig
from mmae.model.config import MMAEConfig, ModalitiesConfig
from mmae.model.part_configs import ImageConfig, SpectrumConfig
from mmae.recipes import recipe
from mmae.report.style import RC
from mmae.simulation.config import SimulationConfig
from mmae.simulation.source import simulation_source
from mmae.survey.schema import SurveySpec
from tests.ingest.small import in_turn

# No test is a matter of time.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items):
    """Files with long tests run first, so that the two processes end at the same time."""
    long = {item.path for item in items if item.get_closest_marker("long")}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(scope="session", autouse=True)
def home_of_its_own(tmp_path_factory):
    """No test writes to the user's ~/mmae or tracking server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMAE_HOME", str(tmp_path_factory.mktemp("home")))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def coarse_figures():
    """Figures are written with few pixels, which takes half of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RC, "savefig.dpi", 75)
        yield


@pytest.fixture(scope="session")
def ray_cluster():
    """One Ray instance for all tests of a process that need it, started as the jobs start it."""
    os.environ.update(ALONE_ENV)
    # Idle workers are kept for the next task: a new process takes seconds. By default Ray keeps one for each CPU.
    os.environ["RAY_num_workers_soft_limit"] = "8"
    ray.init(
        address="local",
        num_cpus=4,
        include_dashboard=False,
        runtime_env={"env_vars": WORKER_ENV, "worker_process_setup_hook": "mmae.core.ray_setup.set_up_worker"},
    )
    start_ray()
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def small_survey(tmp_path_factory) -> Path:
    """240 simulated galaxies, most of them paired and labelled, some not."""
    simulation = SimulationConfig(galaxies=240, paired_fraction=0.8, labelled_fraction=0.8)
    source = simulation_source(simulation, SurveySpec())
    chunks = [{"start": start, "stop": start + 60} for start in range(0, 240, 60)]
    return build_survey([replace(source, chunks=chunks)], tmp_path_factory.mktemp("survey") / "sim", run=in_turn).path


@pytest.fixture(scope="session")
def quick_run() -> RunConfig:
    """The small recipe, shrunk until ten steps take seconds."""
    return replace(
        recipe("small"),
        model=MMAEConfig(
            modalities=ModalitiesConfig(image=ImageConfig(patch=16), spectrum=SpectrumConfig(patch=512)),
            width=32,
            depth=1,
            heads=2,
            decoder_width=16,
        ),
        stream=StreamConfig(batch_size=32, shuffle_rows=64),
        optim=OptimConfig(steps=10, warmup_steps=2),
        validation=ValidationConfig(every=4, galaxies=64),
        score=ScoreConfig(bootstrap=50, examples=2),
        compute=ComputeConfig(threads=1),
    )
