"""Scenes with known truth: the demo, the tests and the benchmarks live on them."""

from skymend.simulate.benchmark import full_tile
from skymend.simulate.cloud_scene import CloudScene, cloud_scene
from skymend.simulate.scenario import Orbit, Pass, Scenario, demo, growing_season, tiny
from skymend.simulate.series import FORMATS, SAFE_FORMATS, truth, write

__all__ = [
    "FORMATS",
    "SAFE_FORMATS",
    "CloudScene",
    "Orbit",
    "Pass",
    "Scenario",
    "cloud_scene",
    "demo",
    "full_tile",
    "growing_season",
    "tiny",
    "truth",
    "write",
]
