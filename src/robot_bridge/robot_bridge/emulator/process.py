"""An emulator as a child process: what tests, benchmarks and `port:=emulator` start."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import yaml
from rosac_common.settings import to_mapping

from robot_bridge.backend import BackendError
from robot_bridge.body_state import BodyState
from robot_bridge.robot import RobotSettings
from robot_bridge.simulation.settings import SimulationSettings

_START_TIMEOUT_S = 30.0


class EmulatorProcess:
    """Starts an emulator and gives it orders; it ends with this process at the latest.

    Args:
        robot: whose servos; its block `servos` must be there.
        lockstep: time passes only by :meth:`advance`, and nothing takes time on the wire.
        steady_clocks: in lockstep, the servos' own clocks go on all the same: for a bridge in real time.
        seed: of faults and sensor noise.
        baud_rate: that the servos are set to [bit/s]; None: the robot file's. New servos have 57,600.
        link: name of the port; None: one in a temporary directory.
        script: faults to come (docs/emulator.md).
        simulation: of the robot that the servos turn: ground, latency, noise.

    Raises:
        BackendError: it did not start; the message holds what it printed.
    """

    def __init__(
        self,
        robot: RobotSettings,
        *,
        lockstep: bool = False,
        steady_clocks: bool = False,
        seed: int = 0,
        baud_rate: int | None = None,
        link: Path | None = None,
        script: Path | None = None,
        simulation: SimulationSettings | None = None,
    ) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="rosac-emulator-")
        folder = Path(self._directory.name)
        self.port = str(link or folder / "port")
        robot_file, control = folder / "robot.yaml", folder / "control"
        values = {name: value for name, value in to_mapping(robot).items() if value != []}
        robot_file.write_text(yaml.safe_dump({"/**": {"ros__parameters": {"robot": values}}}))
        command = [sys.executable, "-m", "robot_bridge.emulator", "--robot", str(robot_file), "--link", self.port]
        command += ["--control", str(control), "--seed", str(seed), "--parent", str(os.getpid())]
        command += ["--simulation", json.dumps(to_mapping(simulation or SimulationSettings()))]
        command += ["--lockstep"] * lockstep + ["--steady-clocks"] * steady_clocks
        command += [] if baud_rate is None else ["--baud-rate", str(baud_rate)]
        command += [] if script is None else ["--script", str(script)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if "servos on" not in line:
            self.process.kill()
            said = line + self.process.stdout.read()
            self.process.wait()
            self.process.stdout.close()
            self._directory.cleanup()
            raise BackendError(f"the emulator did not start: {said.strip()}")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(_START_TIMEOUT_S)
        self._socket.connect(str(control))
        self._answers = self._socket.makefile("r")

    def order(self, what: str, **values: Any) -> dict[str, Any]:
        """Give an order and return its answer.

        Raises:
            BackendError: the emulator refused it, or is gone.
        """
        try:
            self._socket.sendall(json.dumps({"do": what, **values}).encode() + b"\n")
            line = self._answers.readline()
        except OSError as error:
            raise BackendError(f"the emulator is gone: {error}") from error
        if not line:
            raise BackendError("the emulator is gone")
        answer = json.loads(line)
        if not answer["ok"]:
            raise BackendError(f"the emulator refused '{what}': {answer['error']}")
        return answer

    def body(self) -> BodyState:
        """How the body of a robot that moves about moves now; its time is the emulator's [ns].

        Raises:
            BackendError: it does not move about, or the emulator is gone.
        """
        values = self.order("body")["body"]
        return BodyState(**{k: np.array(value) if isinstance(value, list) else value for k, value in values.items()})

    def put_back(self) -> None:
        """Set a robot that moves about on its mark."""
        self.order("put_back")

    def advance(self, duration_s: float) -> float:
        """Lockstep: let time pass [s]; returns the emulator's time [s]."""
        return float(self.order("advance", duration_s=duration_s)["time_s"])

    def fault(self, kind: str, **values: Any) -> None:
        """Let a fault begin (faults.FAULTS)."""
        self.order("fault", kind=kind, **values)

    def clear_faults(self) -> None:
        """Lines and servos in order again, the cable plugged in."""
        self.fault("clear")

    def unplug(self) -> None:
        """Pull the cable."""
        self.fault("unplug")

    def replug(self) -> None:
        """Put it back."""
        self.fault("replug")

    def status(self) -> dict[str, Any]:
        """Servos, joints and counters; times are those of time.monotonic()."""
        return self.order("status")

    def take_readings(self) -> list[tuple[float, list[float], list[float]]]:
        """What the servos were asked since the last call, all of them or several at once: when (time.monotonic()),
        positions and goals of all joints [rad]."""
        return [tuple(reading) for reading in self.order("readings")["readings"]]

    def last_words(self) -> str:
        """What an emulator that has ended by itself has said, and how it ended."""
        assert self.process.stdout is not None
        return f"{self.process.stdout.read().strip()} (exit code {self.process.wait()})".strip()

    def close(self) -> None:
        """End it. May be called twice."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5.0)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._socket.close()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._directory.cleanup()

    def __enter__(self) -> EmulatorProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
