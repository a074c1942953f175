"""Eight emulated servos that touch nothing, on a bus of each test's own; and registers as they should be."""

import dataclasses
from pathlib import Path

import pytest
from robot_bridge.dynamixel.bus import DynamixelBus, Ping
from robot_bridge.dynamixel.connection import servos_of
from robot_bridge.dynamixel.tools.findings import Commands
from robot_bridge.dynamixel.tools.states import ServoState
from robot_bridge.emulator import EmulatorProcess
from robot_bridge.robot import load_robot

LEGS = Path(__file__).parents[5] / "config" / "robots" / "legs.yaml"
REPLY_TIMEOUT_S = 0.1


@pytest.fixture(scope="session")
def legs():
    return load_robot(LEGS)


@pytest.fixture
def commands():
    return Commands("--port P")


@pytest.fixture
def emulated(legs):
    """(emulator, bus) of servos as they left the factory, but for id and baud rate."""
    with EmulatorProcess(legs) as emulator:
        bus = DynamixelBus(emulator.port, legs.servos.baud_rate, REPLY_TIMEOUT_S)
        bus.open()
        yield emulator, bus
        bus.close()


@pytest.fixture
def good_states(legs):
    """id -> a servo about which there is nothing to say."""
    states = {}
    for servo in servos_of(legs):
        registers = {name: register.default for name, register in servo.model.registers.items()}
        registers |= {**servo.settings, "id": servo.identifier}
        states[servo.identifier] = ServoState(servo.identifier, Ping(servo.model.number, 45), registers)
    return states


@pytest.fixture
def changed(good_states):
    """Makes those states with other registers, or another ping, of servo 3."""

    def change(ping=None, **registers):
        state = good_states[3]
        new = dataclasses.replace(state, registers={**state.registers, **registers}, ping=ping or state.ping)
        return {**good_states, 3: new}

    return change
