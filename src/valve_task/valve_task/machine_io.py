"""What goes into the step machine and what comes out of it. No ROS: the node converts messages to and from these."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from rosac_common.transition import Source, Transition

from valve_task.episode import EpisodeRecord, StepObservation
from valve_task.reset_request import ResetOutcome, ResetProgress

Vector = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


class Phase(enum.Enum):
    """What the task is doing."""

    WAITING_FOR_BRIDGE = "waiting for the bridge"
    STOPPED = "the safety gate is closed"
    PREPARING = "preparing"  # of the machine alone: it shows as one of the next five
    RESTING = "resting: the motors cool down"
    RANDOMISING = "waiting for simulation/randomise"
    RESETTING = "resetting"
    PUTTING_BACK = "waiting for simulation/put_back"
    WAITING_FOR_OPERATOR = "waiting for the operator"
    ACTING = "acting"
    WAITING_FOR_LEARNER = "waiting for the learner"
    FINISHED = "finished"


class Problem(enum.StrEnum):
    """What is missing or wrong; each is logged once when it appears and once when it is over."""

    BRIDGE = "bridge"
    GATE = "gate"
    SENSORS = "sensors"
    ACTOR = "actor"
    ACTION = "action"
    LEARNER = "learner"
    RANDOMISE = "randomise"
    PUT_BACK = "put_back"
    RESET = "reset"
    HEAT = "heat"
    HEALTH = "health"
    JOYSTICK = "joystick"


class PolicyAction(NamedTuple):
    """An Action message."""

    session_id: str
    episode: int
    step: int
    time_ns: int  # stamp of the observation that it answers
    values: Sequence[float]
    source: Source
    policy_version: int


class ExecutedView(NamedTuple):
    """An ExecutedCommand message, of the robot's own joints."""

    command_ns: int  # stamp of the command
    goals_rad: Vector  # NaN: a motor did not hold its goal
    since_ns: int  # robot time of the first reading with these goals in force
    until_ns: int  # and of the newest one


class GateView(NamedTuple):
    """A SafetyState message."""

    state: int  # GateState
    causes: tuple[str, ...]
    details: tuple[str, ...]

    @property
    def closed_because(self) -> str:
        """Why a closed gate is closed, and what to do."""
        if not self.causes:
            return "the robot is disarmed: call safety/arm"
        causes = "; ".join(f"{cause} ({detail})" for cause, detail in zip(self.causes, self.details, strict=False))
        return f"the safety gate has stopped the robot: {causes}. Clear the cause, call safety/reset, then safety/arm"


class LearnerView(NamedTuple):
    """The part of a LearnerStatus message that the task acts on."""

    session_id: str
    sequence_limit: int
    finished: bool
    failure: str  # empty unless the learner has failed


class HealthView(NamedTuple):
    """The part of a JointHealth message that the task acts on."""

    names: tuple[str, ...]
    temperature_c: Vector  # (joints,) NaN: not read yet


class Outputs(Protocol):
    """What the machine does to the world."""

    def publish_observation(self, observation: StepObservation) -> None:
        """Ask the policy."""

    def publish_command(self, time_ns: int, goals_rad: Vector, torque_on: Flags | None) -> None:
        """Command the robot, in answer to the state read at `time_ns`. Without torque flags `goals_rad` holds the
        robot's joints only, all with torque, and the auxiliary joints are released; with flags it holds all joints."""

    def publish_transition(self, transition: Transition) -> None:
        """Put a transition on the replay topic."""

    def publish_episode(self, record: EpisodeRecord) -> None:
        """Publish the summary of a finished episode."""

    def randomise(self) -> bool:
        """Ask the simulation for new dynamics; the answer comes back by `on_randomised`. False: nobody offers that."""

    def put_back(self) -> bool:
        """Ask the simulation to put the robot on its mark; the answer comes back by `on_put_back`. False: nobody offers
        that."""

    def reset_progress(self, progress: ResetProgress) -> None:
        """How far the reset that somebody asked for has come; called at every step of it."""

    def reset_ended(self, outcome: ResetOutcome) -> None:
        """The reset that somebody asked for has ended."""

    def ask_operator(self, text: str) -> None:
        """Say what the operator has to do; empty: nothing any more."""

    def problem(self, problem: Problem, text: str) -> None:
        """Log what is missing or wrong."""

    def solved(self, problem: Problem) -> None:
        """Log that it is no longer so."""

    def note(self, text: str) -> None:
        """Log something worth knowing."""
