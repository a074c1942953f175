"""The action `reset` of the node `task`: goals go to the step machine, what it tells of them goes back."""

from __future__ import annotations

import time

from rclpy.action import ActionServer, CancelResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.node import Node
from rosac_common.messages import float64_array
from sac_interfaces.action import ResetRobot

from valve_task.machine import StepMachine
from valve_task.reset_request import ResetOutcome, ResetProgress, ResetRequest

# In lockstep hundreds of steps pass in a second; every phase is told, and within a phase no more than this.
_FEEDBACK_PERIOD_S = 0.1


class ResetServer:
    """One goal at a time; one that cannot be served is aborted at once, for only a result can say why.

    The robot's states drive a reset, so that a goal has nothing to execute: rclpy's `execute` is called when the goal
    has ended, to send the result. Until then the goal's status is "accepted". (A coroutine that waits for the end would
    be polled without pause: it took half a core on rclpy 7.1.6.)

    Args:
        node: the node `task`.
        machine: resets the robot.
    """

    def __init__(self, node: Node, machine: StepMachine) -> None:
        self._machine = machine
        self._names = machine.settings.robot.all_joint_names
        self._goal: ServerGoalHandle | None = None
        self._told_phase = ""
        self._told_s = 0.0
        self._server = ActionServer(
            node,
            ResetRobot,
            "reset",
            execute_callback=lambda goal: ResetRobot.Result(),  # never used: `_end` gives one of its own
            handle_accepted_callback=self._on_accepted,
            cancel_callback=self._on_cancel,
        )

    def tell(self, progress: ResetProgress) -> None:
        """Publish feedback."""
        now_s = time.monotonic()
        if progress.phase == self._told_phase and now_s - self._told_s < _FEEDBACK_PERIOD_S:
            return
        self._told_phase, self._told_s = progress.phase, now_s
        self._goal.publish_feedback(
            ResetRobot.Feedback(
                phase=progress.phase,
                attempt=progress.attempt,
                worst_joint=progress.worst_joint,
                worst_error_rad=progress.worst_error_rad,
            )
        )

    def end(self, outcome: ResetOutcome) -> None:
        """Send the result of the present goal."""
        goal, self._goal = self._goal, None
        if goal is not None:
            self._end(goal, outcome)

    def _on_accepted(self, goal: ServerGoalHandle) -> None:
        request = ResetRequest(goal.request.start_rad, goal.request.interrupt)
        known, self._goal, self._told_phase = self._goal, goal, ""
        refusal = self._machine.request_reset(request)
        if refusal:
            self._goal = known
            self._end(goal, ResetOutcome(False, refusal, 0, 0.0, ()))

    def _on_cancel(self, goal: ServerGoalHandle) -> CancelResponse:
        if self._goal is None or goal.goal_id != self._goal.goal_id:
            return CancelResponse.REJECT
        self._machine.cancel_reset()
        return CancelResponse.ACCEPT

    def _end(self, goal: ServerGoalHandle, outcome: ResetOutcome) -> None:
        result = ResetRobot.Result(success=outcome.success, message=outcome.message, attempts=outcome.attempts)
        result.duration_s = outcome.duration_s
        result.name = self._names if len(outcome.position_rad) else []
        result.position_rad = float64_array(outcome.position_rad)

        def finish(handle: ServerGoalHandle) -> ResetRobot.Result:
            # Runs after the callback that ended the goal: a cancelled one is in the state "canceling" by then.
            if handle.is_cancel_requested:
                handle.canceled()
            elif outcome.success:
                handle.succeed()
            else:
                handle.abort()
            return result

        goal.execute(finish)
