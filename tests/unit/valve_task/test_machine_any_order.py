"""Whatever comes, and in whatever order: the step machine goes on, and what it stores is a step that was made."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from robot_bridge.gate_types import GateState
from valve_task.machine_io import Phase

from .chaos import TASKS, Chaos

# Weighted by repetition: what a robot at work does most of the time.
EVENTS = st.sampled_from(
    [*["work"] * 12, *["period"] * 4, *["answer"] * 4, *["executed"] * 4]
    + ["tick", "state", "same_state", "pause", "answer_old", "answer_nan", "answer_short", "executed_old", "gate_stops"]
    + ["measures", "gate_finds_a_frozen_joint"]
    + ["gate_opens"] * 3
    + [
        "learner",
        "learner_finished",
        "learner_failed",
        "joy",
        "put_back",
        "randomised",
        "restart",
        "falls",
        "operator",
        "velocity",
    ]
    + ["reset", "reset_interrupting", "cancel"]
)


@pytest.mark.parametrize("time_base", ["lockstep", "realtime"])
def test_a_joystick_that_dies_asks_for_no_velocity_any_more(time_base):
    chaos = Chaos("MinitaurWalkCommand", time_base)
    machine = chaos.machine
    chaos.send()
    chaos.gate(GateState.ARMED)
    chaos.work(60, np.random.default_rng(0))
    drawn = machine.task.command_m_s
    chaos.now_s += 10.0
    machine.tick()
    assert machine.task.command_m_s == drawn != 0.0, "nobody has asked"
    assert machine.on_commanded_velocity(0.3) == ""
    chaos.now_s += 0.4
    machine.tick()
    assert machine.task.command_m_s == 0.3
    chaos.now_s += 0.2
    machine.tick()
    assert machine.task.command_m_s == 0.0
    assert chaos.out.notes[-1] == "no velocity on cmd_vel for 0.5 s: it counts as 0"


@pytest.mark.parametrize("time_base", ["lockstep", "realtime"])
@pytest.mark.parametrize("task", TASKS)
@settings(max_examples=25)
@given(events=st.lists(EVENTS, min_size=30, max_size=100), seed=st.integers(0, 2**32 - 1))
def test_nothing_breaks_it(task, time_base, events, seed):
    rng = np.random.default_rng(seed)
    chaos = Chaos(task, time_base)
    chaos.send()
    chaos.gate(GateState.ARMED)
    chaos.work(60, rng)
    assert chaos.out.transitions, "it must get as far as acting"
    for event in events:
        chaos.happen(event, rng)
        assert isinstance(chaos.machine.phase, Phase)
    made = chaos.out.transitions
    assert [each.sequence for each in made] == list(range(len(made)))
    for each in made:
        assert each.problem(chaos.machine.task.observation_size, chaos.machine.task.action_size) is None
    ended = [record.episode for record in chaos.out.episodes]
    assert len(set(ended)) == len(ended), "each episode ends once"
    assert [record.index for record in chaos.out.episodes] == list(range(len(ended))), "no gap for who misses none"
    steps = [(each.episode, each.step) for each in made]
    assert steps == sorted(set(steps)), "steps in order, each once"
