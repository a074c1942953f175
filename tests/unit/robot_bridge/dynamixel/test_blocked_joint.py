"""A joint that cannot move: the driver, the gate and the emulated servos' own registers, for each kind of servo."""

import dataclasses

import pytest
from helpers.emulated_bus import BAUD, Host, make_robot
from robot_bridge.causes import Cause
from robot_bridge.dynamixel.robot import DynamixelRobot
from robot_bridge.dynamixel.settings import BusSettings
from robot_bridge.gate_types import Command, GateState
from robot_bridge.loop import RealtimeLoop, make_gate
from robot_bridge.monitor import Beats
from robot_bridge.settings import BridgeSettings
from robot_bridge.simulation.settings import SimulationSettings

TICK_S = 0.01
# E-manual at 12 V: stall torque and current, 3.0 Nm at 2.3 A and 1.5 Nm at 1.4 A.
KINDS = {"XM430-W210": (2.3, 1.3), "XL430-W250": (1.4, 1.07)}
SHARE = 0.5  # of what it draws at full PWM is its limit


class Bench:
    """A real driver, loop and gate on emulated servos, one of which may be blocked; time passes by `run`."""

    def __init__(self, model, played):
        stall_a, torque_constant = KINDS[model]
        currents = {"stall_current_a": [stall_a] * 3, "current_limit_a": [SHARE * stall_a] * 3}
        robot = make_robot(model, torque_constant_nm_a=[torque_constant] * 3, **currents)
        # As stiff as full PWM at about 0.25 rad makes it.
        robot = dataclasses.replace(robot, kp_nm_rad=[4.0 * stall_a * torque_constant] * 3)
        self.host = Host(robot)
        played.answer = lambda packet: b"".join(
            reply.packet for reply in self.host.bus.handle(packet, BAUD, self.host.drives.now_s)
        )
        bus = BusSettings(port=played.port, reply_timeout_s=1.0)
        settings = BridgeSettings(
            robot=robot, simulation=SimulationSettings(), bus=bus, backend="dynamixel", time_base="realtime"
        )
        self.robot = DynamixelRobot(robot, bus, lambda: self.host.drives.now_s)
        self.robot.open()
        self.gate, self.names, self.states = make_gate(settings), robot.joint_names, []
        self.loop = RealtimeLoop(settings, self.robot, self.gate, Beats(robot), lambda _: None, self.states.append)
        self.loop.start(self.host.drives.now_s)
        assert self.gate.arm(self.loop.state.position_rad, self.host.drives.now_s)[0]
        self.loop.enforce()

    def run(self, duration_s, goal_rad, blocked):
        """Command that goal, a little to and fro; whether the first joint cannot move."""
        stuck_rad = self.host.plant._position[0]
        for i in range(round(duration_s / TICK_S)):
            for _ in range(round(TICK_S / self.host.plant.time_step_s)):
                self.host.advance(self.host.plant.time_step_s)
                if blocked:
                    self.host.plant._position[0], self.host.plant._velocity[0] = stuck_rad, 0.0
            now_s = self.host.drives.now_s
            self.loop.tick(now_s)
            if self.gate.state is GateState.STOPPED:
                return
            goals = [goal_rad + 0.04 * (-1) ** (i // 10), 0.0, 0.0]
            self.loop.command(self.states[-1].time_ns, Command(self.names, goals), now_s)

    def causes(self):
        return {report.cause: report.detail for report in self.gate.report().causes}


@pytest.fixture(params=KINDS)
def bench(request, played):
    made = Bench(request.param, played)
    yield made
    made.robot.close()


def test_a_blocked_joint_is_named_so_and_not_frozen(bench):
    """It gives all that it may, so that nothing that it shows changes with its goal."""
    bench.run(1.0, 0.19, blocked=True)
    causes = bench.causes()
    assert set(causes) == {Cause.MOTOR_CURRENT}
    said = {
        "XM430-W210": ("draws 1.15 A", "limit 0.862 A"),
        "XL430-W250": ("pushes with 49.9% load", "limit 37.5% load"),
    }
    for words in said[bench.host.servo(1).model.name]:
        assert words in causes[Cause.MOTOR_CURRENT]
    bench.run(0.1, 0.0, blocked=True)
    assert not bench.host.servo(1).torque_on


def test_the_servo_itself_keeps_the_limit(bench):
    stall_a, torque_constant = KINDS[bench.host.servo(1).model.name]
    bench.run(0.3, 0.19, blocked=True)
    efforts = [abs(state.effort_nm[0]) for state in bench.states]
    most_nm = SHARE * stall_a * torque_constant
    assert max(efforts) == pytest.approx(most_nm, rel=0.01)
    assert bench.gate.state is GateState.ARMED


def test_a_joint_that_shows_old_values_below_the_limit_is_frozen(bench):
    bench.run(0.1, 0.02, blocked=True)
    bench.host.bus.fault("stale_encoder", {"id": 1})
    bench.run(0.6, 0.02, blocked=True)
    assert Cause.FROZEN_JOINT in bench.causes()


def test_a_joint_that_moves_freely_goes_on(bench):
    bench.run(1.0, 0.3, blocked=False)
    assert bench.gate.state is GateState.ARMED
