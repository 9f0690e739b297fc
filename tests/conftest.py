"""Fixtures shared by all tests."""

from dataclasses import replace
from pathlib import Path

import pytest
import ray
from hypothesis import settings

from mmae.config import ComputeConfig, OptimConfig, RunConfig, ScoreConfig, ValidationConfig
from mmae.core.ray_setup import WORKER_ENV, start_ray
from mmae.ingest.build import build_survey
from mmae.loader.config import StreamConfig
from mmae.model.config import MMAEConfig, ModalitiesConfig
from mmae.model.part_configs import ImageConfig, SpectrumConfig
from mmae.recipes import recipe
from mmae.simulation.config import SimulationConfig
from mmae.simulation.source import simulation_source
from mmae.survey.schema import SurveySpec

# No test is a matter of time.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


RAY_FOLDERS = {"catalogue", "deploy", "steepspec", "study", "training"}  # many of their tests start Ray


def pytest_collection_modifyitems(items):
    """All tests that start Ray run in one of the two processes, one after the other, and share one Ray.

    Files with a group of their own do not start it.
    """
    for item in items:
        if item.get_closest_marker("xdist_group"):
            continue
        if "ray_cluster" in item.fixturenames or not RAY_FOLDERS.isdisjoint(item.path.parts):
            item.add_marker(pytest.mark.xdist_group("ray"))


@pytest.fixture(scope="session", autouse=True)
def home_of_its_own(tmp_path_factory):
    """No test writes to the user's ~/mmae or tracking server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMAE_HOME", str(tmp_path_factory.mktemp("home")))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield


@pytest.fixture(scope="session")
def ray_cluster():
    """One Ray instance for all tests that need it, started as the jobs start it."""
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
def small_survey(tmp_path_factory, ray_cluster) -> Path:
    """240 simulated galaxies, most of them paired and labelled, some not."""
    simulation = SimulationConfig(galaxies=240, paired_fraction=0.8, labelled_fraction=0.8)
    source = simulation_source(simulation, SurveySpec())
    chunks = [{"start": start, "stop": start + 60} for start in range(0, 240, 60)]
    return build_survey([replace(source, chunks=chunks)], tmp_path_factory.mktemp("survey") / "sim").path


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
