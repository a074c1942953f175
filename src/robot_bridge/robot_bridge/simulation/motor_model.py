"""Direct-drive motors with their PD loop: voltage, back-EMF, saturation, thermal cut-out. Numbers only, no physics.

After bulletphysics/bullet3, pybullet_envs/minitaur/envs/motor.py; every figure is from there and minitaur.py. Its
limit of the net voltage, 50 V, is left out: the table of torques ends long before it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

RESISTANCE_OHM = 0.186
TORQUE_CONSTANT_NM_A = 0.0954  # also the back-EMF constant [V s/rad]
CURRENT_TABLE_A = np.array([0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0])
TORQUE_TABLE_NM = np.array([0.0, 1.0, 1.9, 2.45, 3.0, 3.25, 3.5])
HOT_TORQUE_NM = 2.45
HOT_TIME_S = 1.0


class MotorModel:
    """Eight or any other number of equal motors. Vectors are (motors,).

    Args:
        count: of motors.
        kp, kd: of the PD loop, in parts of the full duty cycle [1/rad, s/rad].
        time_step_s: time between two calls of :meth:`torque_nm`.
        thermal_cutout: whether a motor is switched off after too long a heavy load.
    """

    def __init__(self, count: int, kp: float, kd: float, time_step_s: float, thermal_cutout: bool) -> None:
        self.voltage_v = 16.0
        self.viscous_v_s = 0.0  # adds to the back-EMF constant
        self.strength = np.ones(count)  # part of the torque that really comes
        self.cut_out = np.zeros(count, dtype=bool)
        self._kp, self._kd = kp, kd
        self._thermal_cutout = thermal_cutout
        self._hot_steps = np.zeros(count)
        self._hot_limit = HOT_TIME_S / time_step_s

    def duty(self, goals_rad: Vector, position_rad: Vector, velocity_rad_s: Vector) -> Vector:
        """Duty cycle in [-1, 1] that the PD loop sets from what it measures."""
        wanted = self._kp * (goals_rad - position_rad) - self._kd * velocity_rad_s
        return np.minimum(np.maximum(wanted, -1.0), 1.0)

    def torque_nm(self, duty: Vector, velocity_rad_s: Vector, torque_on: Flags) -> Vector:
        """Torque of the motors at their true velocity, and one time step's heat. A motor that is off or cut out gives
        none, and one that is off gets none of the heat."""
        net = duty * self.voltage_v - (TORQUE_CONSTANT_NM_A + self.viscous_v_s) * velocity_rad_s
        current = np.abs(net) / RESISTANCE_OHM
        torque = np.copysign(np.interp(current, CURRENT_TABLE_A, TORQUE_TABLE_NM), net) * self.strength
        torque *= torque_on
        if self._thermal_cutout:
            self._heat(np.abs(torque))
            torque *= ~self.cut_out
        return torque

    def cool_down(self) -> None:
        """All motors cold and on again."""
        self._hot_steps[:] = 0.0
        self.cut_out[:] = False

    def _heat(self, load_nm: Vector) -> None:
        self._hot_steps += 1.0
        self._hot_steps *= load_nm > HOT_TORQUE_NM
        overheated = self._hot_steps > self._hot_limit
        if overheated.any():
            self.cut_out |= overheated


class History:
    """The last rows of numbers, one per time step, read back with a latency between two of them by straight lines.

    Args:
        width: numbers in a row.
        longest_s: the longest latency that will be asked for.
        time_step_s: between two rows.
    """

    def __init__(self, width: int, longest_s: float, time_step_s: float) -> None:
        self._rows = np.zeros((int(longest_s / time_step_s) + 3, width))
        self._newest = 0
        self._time_step_s = time_step_s

    def fill(self, row: Vector) -> None:
        """It has always been like this."""
        self._rows[:] = row

    def add(self, row: Vector) -> None:
        """The row of this time step."""
        self._newest = (self._newest + 1) % len(self._rows)
        self._rows[self._newest] = row

    def at(self, latency_s: float) -> Vector:
        """What was there `latency_s` ago (a copy)."""
        whole = int(latency_s / self._time_step_s + 1e-9)
        part = latency_s / self._time_step_s - whole
        after = self._rows[(self._newest - whole) % len(self._rows)]
        if part < 1e-9:
            return after.copy()
        before = self._rows[(self._newest - whole - 1) % len(self._rows)]
        return after + part * (before - after)
