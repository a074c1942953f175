"""The tasks as Gymnasium environments on the simulated robot, in process: same task, reset and episode code as the node."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium
import numpy as np
import numpy.typing as npt
from ament_index_python.packages import get_package_share_directory
from robot_bridge.robot import RobotSettings, load_robot
from robot_bridge.simulation import make_simulation
from robot_bridge.simulation.settings import SimulationSettings
from rosac_common.settings import from_mapping
from rosac_common.transition import EndReason, Source
