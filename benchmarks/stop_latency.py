"""How soon a robot on (emulated) servos is safe while a learner saturates the machine: stop, lost task, dead bridge.

.venv/bin/python benchmarks/stop_latency.py --json result.json

Stop: from publishing on safety/stop until the end of the last byte that switches torque off, on the emulated wire.
Hold: a suspended task; from its last command until safety/state says hold, as another process hears it.
Dead bridge: from SIGKILL until the last servo's bus watchdog has stopped it.
"""

from __future__ import annotations

import ros_first  # noqa: F401

# isort: split
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from robot_bridge.emulator import EmulatorProcess
from robot_bridge.robot import load_robot
from robot_operator import Operator
from sac_interfaces.msg import SafetyState
from sac_learner.commands.monitor import Monitor
from sac_learner.graph.supervisor import Supervisor
from support import REPOSITORY, SATURATING_LEARNER, finish, make_run, parser, running, wait_until, workspace

# Stops come at any moment of a control period.
_SPREAD_S = (0.1, 0.4)


class Bench:
    """A running graph on emulated servos, and the operator beside it."""

    def __init__(
        self, emulator: EmulatorProcess, supervisor: Supervisor, monitor: Monitor, person: Operator, seed: int
    ) -> None:
        self._emulator, self._supervisor, self._monitor, self._person = emulator, supervisor, monitor, person
        self._rng = np.random.default_rng(seed)
        self.period_s = 0.02
        self.disturbances = 0  # trials that something else had ended before

    def _until(self, condition: object, what: str) -> None:
        wait_until(condition, self._supervisor, self._monitor, what, timeout_s=60.0, look_s=0.01)

    def ready(self) -> None:
        """Armed and commanded for a random moment."""
        while True:
            self._until(self._person.restore, "armed")
            self._monitor.spin(self._rng.uniform(*_SPREAD_S))
            if (
                self._person.state == SafetyState.ARMED
                and time.monotonic() - self._person.command_s < 2 * self.period_s
            ):
                return

    def torque(self) -> list[bool]:
        """Which servos have torque."""
        return [servo["torque_on"] for servo in self._emulator.status()["servos"]]

    def stop_ms(self) -> float | None:
        """One press of the stop button; None when something else stopped the robot at that moment."""
        self.ready()
        had = self.torque()
        pressed_s = self._person.press(True)
        self._until(lambda: not any(self.torque()), "torque off")
        servos = self._emulator.status()["servos"]
        self._until(lambda: self._person.state == SafetyState.STOPPED, "stopped")
        if not any(had) or self._person.causes != ["operator_stop"]:
            self.disturbances += 1
            return None
        return 1e3 * (max(servo["torque_off_s"] for servo, on in zip(servos, had, strict=True) if on) - pressed_s)

    def hold_ms(self) -> float | None:
        """One suspended task."""
        self.ready()
        pid = self._supervisor.pid("task")
        os.kill(pid, signal.SIGSTOP)
        try:
            self._until(lambda: self._person.state != SafetyState.ARMED, "hold")
            held_s, state = self._person.states[-1]
        finally:
            os.kill(pid, signal.SIGCONT)
        if state != SafetyState.HOLD:
            self.disturbances += 1
            return None
        return 1e3 * (held_s - self._person.command_s)

    def dead_bridge_ms(self) -> float:
        """One killed bridge."""
        self.ready()
        had = self.torque()
        killed_s = time.monotonic()
        os.kill(self._supervisor.pid("bridge"), signal.SIGKILL)

        def all_safe() -> bool:
            servos = self._emulator.status()["servos"]
            return all(servo["bus_watchdog"] < 0 or not servo["torque_on"] for servo in servos)

        self._until(all_safe, "servos stopped by themselves")
        servos = [servo for servo, on in zip(self._emulator.status()["servos"], had, strict=True) if on]
        times = [servo["watchdog_tripped_s"] or killed_s for servo in servos]
        self._until(lambda: self._person.state == SafetyState.DISARMED, "a new bridge")
        return 1e3 * (max(times) - killed_s)


def summary(name: str, values_ms: Sequence[float | None]) -> dict[str, float]:
    """Percentiles of one kind of trial."""
    good = np.array([value for value in values_ms if value is not None])
    return {
        f"{name}_trials": len(good),
        f"{name}_p50_ms": float(np.percentile(good, 50)),
        f"{name}_p99_ms": float(np.percentile(good, 99)),
        f"{name}_max_ms": float(good.max()),
    }


def measure(stops: int, holds: int, kills: int, rate_hz: float, seed: int) -> dict[str, object]:
    """All three, in one graph."""
    parameters = {
        "learner": SATURATING_LEARNER,
        "task": {"task.control_period_s": 1.0 / rate_hz},
    }
    robot = load_robot(REPOSITORY / "config" / "robots" / "dclaw.yaml")
    with workspace() as directory, EmulatorProcess(robot, seed=seed) as emulator:
        arguments = {"backend": "dynamixel", "port": emulator.port, "steps": "0", "seed": str(seed)}
        run, graph = make_run(directory, arguments, parameters)
        with Operator() as person, running(run, graph) as (supervisor, monitor):
            bench = Bench(emulator, supervisor, monitor, person, seed)
            bench.period_s = 1.0 / rate_hz
            wait_until(
                lambda: person.restore() and monitor.status and monitor.status.updates >= 200, supervisor, monitor
            )
            result: dict[str, object] = {"control_hz": rate_hz, "bus_watchdog_ms": 1e3 * robot.servos.bus_watchdog_s}
            result |= summary("stop", [bench.stop_ms() for _ in range(stops)])
            held = [bench.hold_ms() for _ in range(holds)]
            result |= summary("hold", held)
            result["hold_p99_periods_after_the_missed_command"] = float(result["hold_p99_ms"]) * 1e-3 * rate_hz - 1.0
            result["learner_updates_per_s"] = float(monitor.status.updates_per_s)
            result |= summary("dead_bridge", [bench.dead_bridge_ms() for _ in range(kills)])
            result["disturbed_trials"] = bench.disturbances
            unasked = [cause for cause in person.stops if not cause.startswith("safety/stop is true")]
            result |= {"stops_not_asked_for": len(unasked), "causes_of_those": unasked}
    return result


def main() -> None:
    """Command line."""
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--stops", type=int, default=300, help="presses of the stop button")
    options.add_argument("--holds", type=int, default=50, help="suspended tasks")
    options.add_argument("--kills", type=int, default=20, help="killed bridges")
    options.add_argument("--rate-hz", type=float, default=50.0, help="control rate")
    options.add_argument("--seed", type=int, default=0, help="of the moments and of everything in the run")
    chosen = options.parse_args()
    result = measure(chosen.stops, chosen.holds, chosen.kills, chosen.rate_hz, chosen.seed)
    finish(chosen, Path(__file__).stem, result)


if __name__ == "__main__":
    main()
