"""Run a study on a Ray cluster of two nodes with one CPU each; options as JSON in argv[1]. Used by test_nodes.py."""

import json
import os
import sys

import ray
from ray.cluster_utils import Cluster

from mmae.core.settings import from_dict
from mmae.study.config import StudyConfig
from mmae.study.study import run_study

if __name__ == "__main__":
    study = from_dict(json.loads(sys.argv[1]), StudyConfig)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    os.environ["RAY_ADDRESS"] = cluster.address
    run_study(study)
    ray.shutdown()
    cluster.shutdown()
