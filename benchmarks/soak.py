"""A training in real time over a bus that loses and damages packets: does it stop, crash, or store a wrong value?

.venv/bin/python benchmarks/soak.py --json result.json

Every transition on the replay topic is held against the joint states that the bridge has published, its executed action
against the goals that the emulated servos held when they showed its last positions, every joint state against the one
before. What the emulator broke is held against what the driver counted.
"""

from __future__ import annotations

import ros_first  # noqa: F401

# isort: split
import time
from collections import deque
from pathlib import Path

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from listener import Listener
from robot_bridge.emulator import EmulatorProcess, ReadingHistory
from robot_bridge.robot import RobotSettings, load_robot
from robot_bridge.robot_clock import wall_epoch_ns
from robot_operator import Operator
from rosac_common.messages import nanoseconds
from sac_interfaces.msg import SafetyState, Transition
from sac_learner.commands.monitor import Monitor
from sac_learner.graph.supervisor import Supervisor
from sensor_msgs.msg import JointState
from support import REPOSITORY, finish, make_run, parser, running, wait_until, workspace
from valve_task.tasks import TaskSettings, make_task

from rosac_common import qos

JOINTS = 9
PERIOD_S = 0.1
# States are kept for so long; a transition is judged when those around it have certainly arrived.
_KEPT_S, _JUDGED_AFTER_S = 10.0, 1.0
# No joint of the hand is faster; a damaged value of a servo would leap by whole turns, or half ones.
_FASTEST_RAD_S, _LEAP_RAD = 15.0, 0.05
# States come every 10 ms; where they are further apart, one was not read or not heard.
_GAP_S = 0.015
_NO_FAILURES = {"bus_transactions"}
# A stamp goes through seconds as a float.
_STAMP_NS = 1000
# A goal goes to the servos in ticks of 1.5 mrad.
_GOAL_RAD = 0.002


class Witness(Listener):
    """Hears joint states, transitions and diagnostics, and judges them.

    Args:
        robot: whose servos.
    """

    def __init__(self, robot: RobotSettings) -> None:
        super().__init__("witness")
        self._readings, self._told_s = ReadingHistory(), -np.inf
        self._wall_s = 1e-9 * wall_epoch_ns(time.monotonic, time.time_ns)
        self._actions = make_task(TaskSettings(control_period_s=PERIOD_S), robot).actions
        self._states: deque[tuple[int, np.ndarray]] = deque()  # stamp, positions
        self._waiting: deque[tuple[float, Transition]] = deque()
        self.states = self.transitions = self.unchecked = 0
        self.wrong: list[str] = []
        self.bus: dict[str, int] = {}  # the bridge's counters
        self.node.create_subscription(JointState, "joint_states", self._take_state, qos.REPLAY)
        self.node.create_subscription(Transition, "replay", self._take_transition, qos.REPLAY)
        self.node.create_subscription(DiagnosticArray, "diagnostics", self._take_diagnostics, qos.EVENTS)
        self.node.create_timer(0.5, self._judge_waiting)
        self.begin()

    def ask(self, emulator: EmulatorProcess) -> None:
        """What the servos showed and held until now; what came later is not judged yet."""
        now_s = time.monotonic()
        self._readings.add(emulator.take_readings())
        self._told_s = now_s

    def _take_state(self, message: JointState) -> None:
        stamp_ns, position = nanoseconds(message.header.stamp), np.array(message.position)
        if self._states:
            before_ns, before = self._states[-1]
            step = np.abs(position - before)[:JOINTS].max()
            if step > _FASTEST_RAD_S * (stamp_ns - before_ns) * 1e-9 + _LEAP_RAD:
                self.wrong.append(f"a joint leapt by {step:.3f} rad in {(stamp_ns - before_ns) * 1e-6:.1f} ms")
        self.states += 1
        self._states.append((stamp_ns, position))
        while stamp_ns - self._states[0][0] > _KEPT_S * 1e9:
            self._states.popleft()

    def _take_transition(self, message: Transition) -> None:
        self._waiting.append((time.monotonic(), message))

    def _judge_waiting(self) -> None:
        while self._waiting and self._told_s - self._waiting[0][0] > _JUDGED_AFTER_S:
            transition = self._waiting.popleft()[1]
            self.transitions += 1
            problem = self._problem(transition)
            problem = problem or self._wrong_action(transition) or problem  # None: its states were missed
            self.unchecked += problem is None
            if problem:
                self.wrong.append(f"transition {transition.sequence}: {problem}")

    def _problem(self, transition: Transition) -> str | None:
        """What is wrong with a transition; empty when it shows what was measured, None when a state of it was missed.

        Publishers of states keep five: a witness that gets no processor for longer hears of the newest only.
        """
        stamps = np.array([stamp_ns for stamp_ns, _ in self._states])
        joints = np.array([position[:JOINTS] for _, position in self._states], dtype=np.float32)
        behind_ns = nanoseconds(transition.header.stamp) - stamps
        after = int(np.argmin(np.abs(behind_ns)))
        if abs(behind_ns[after]) > _STAMP_NS:
            missed = behind_ns[behind_ns > 0].min(initial=np.inf) - behind_ns[behind_ns < 0].max(initial=-np.inf)
            return None if missed > _GAP_S * 1e9 else "no state of its time was published"
        if np.abs(joints[after] - transition.next_observation[:JOINTS]).max() > 1e-6:
            return "its next observation is not the state of its time"
        near = (behind_ns > 0.4e9 * PERIOD_S) & (behind_ns < 1.7e9 * PERIOD_S)
        if near.any() and np.abs(joints[near] - transition.observation[:JOINTS]).max(axis=1).min() <= 1e-6:
            return ""
        apart_ns = np.diff(-behind_ns[near], prepend=-1.7e9 * PERIOD_S, append=-0.4e9 * PERIOD_S)
        return None if apart_ns.max() > _GAP_S * 1e9 else "its observation is no state of about a period before"

    def _wrong_action(self, transition: Transition) -> str:
        """Whether the executed action is not what the servos held at the reading that ends the step."""
        executed, shown = np.array(transition.executed_action), np.array(transition.next_observation[:JOINTS])
        held = self._readings.goals(1e-9 * nanoseconds(transition.header.stamp) - self._wall_s, shown)
        if held is None:
            return "the servos did not show its next observation at that time"
        goals = self._actions.goals(executed, np.array(transition.observation[:JOINTS], dtype=np.float64))
        largest = np.abs(held - goals).max()
        if largest < _GOAL_RAD:
            return ""
        return f"its executed action, {executed}, is {largest:.3f} rad from what the servos held, {held}"

    def _take_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            counters = {value.key: int(value.value) for value in status.values if value.value.isdecimal()}
            self.bus |= {name: count for name, count in counters.items() if name.startswith("bus_")}


def run_on(
    supervisor: Supervisor,
    monitor: Monitor,
    person: Operator,
    duration_s: float,
    emulator: EmulatorProcess,
    witness: Witness,
) -> int:
    """Let it run; the operator resets and arms after a stop. Returns how often a node had to be started again."""
    pids = {name: supervisor.pid(name) for name in ("bridge", "task", "actor", "learner")}
    crashes, end_s = 0, time.monotonic() + duration_s
    while (left_s := end_s - time.monotonic()) > 0:
        monitor.spin(min(0.5, left_s))
        witness.ask(emulator)
        supervisor.check(time.monotonic())
        crashes += sum(supervisor.pid(name) != pid for name, pid in pids.items())
        pids = {name: supervisor.pid(name) for name in pids}
        if person.state in (SafetyState.STOPPED, SafetyState.DISARMED):
            person.restore()
    emulator.clear_faults()
    return crashes


def measure(duration_s: float, rate: float, seed: int) -> dict[str, object]:
    """The graph for so long, with that share of packets lost and as many damaged."""
    robot = load_robot(REPOSITORY / "config" / "robots" / "dclaw.yaml")
    with workspace() as directory, EmulatorProcess(robot, seed=seed) as emulator:
        arguments = {"backend": "dynamixel", "port": emulator.port, "steps": "0", "seed": str(seed)}
        run, graph = make_run(directory, arguments, {"task": {"task.control_period_s": PERIOD_S}})
        witness = Witness(robot)
        try:
            with Operator() as person, running(run, graph) as (supervisor, monitor):

                def goes() -> bool:
                    witness.ask(emulator)
                    return person.restore() and witness.transitions > 0

                wait_until(goes, supervisor, monitor, "transitions")
                person.stops.clear()
                before, counted = emulator.status(), dict(witness.bus)
                for kind in ("lost", "corrupt"):
                    emulator.fault(kind, rate=rate)
                transitions = witness.transitions
                crashes = run_on(supervisor, monitor, person, duration_s, emulator, witness)
                monitor.spin(1.5)
                witness.ask(emulator)
                monitor.spin(2.5)  # one more report of the counters
                after = emulator.status()
        finally:
            witness.close()
    faults = {kind: after["faults"].get(kind, 0) - before["faults"].get(kind, 0) for kind in ("lost", "corrupt")}
    unseen = sum(after["faults_unseen"].values()) - sum(before["faults_unseen"].values())
    failures = {kind: witness.bus[kind] - counted.get(kind, 0) for kind in sorted(set(witness.bus) - _NO_FAILURES)}
    return {
        "duration_s": duration_s,
        "share_lost": rate,
        "share_damaged": rate,
        "instructions": after["instructions"] - before["instructions"],
        "joint_states": witness.states,
        "transitions": witness.transitions - transitions,
        "transitions_whose_states_were_missed": witness.unchecked,
        "episodes": monitor.episode_count,
        "crashes": crashes,
        "stops": len(person.stops),
        "causes_of_stops": person.stops,
        "wrong_values": len(witness.wrong),
        "first_wrong_values": witness.wrong[:10],
        "packets_lost": faults["lost"],
        "packets_damaged": faults["corrupt"],
        "faults_nobody_answers_to": unseen,
        "failures_counted_by_the_driver": sum(failures.values()),
        "failures_by_kind": failures,
    }


def main() -> None:
    """Command line."""
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--duration-s", type=float, default=3600.0, help="how long")
    options.add_argument("--rate", type=float, default=0.001, help="share of packets lost, and share damaged")
    options.add_argument("--seed", type=int, default=0, help="of the faults and of everything in the run")
    chosen = options.parse_args()
    result = measure(chosen.duration_s, chosen.rate, chosen.seed)
    finish(chosen, Path(__file__).stem, result)


if __name__ == "__main__":
    main()
