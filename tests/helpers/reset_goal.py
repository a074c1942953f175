"""Goals of the action `reset`, as a person or a program sends them."""

from __future__ import annotations

from typing import Any

from action_msgs.msg import GoalStatus
from rclpy.action import ActionClient
from rclpy.node import Node
from sac_interfaces.action import ResetRobot

from helpers.ros import spin_until


class Goal:
    """A goal sent to the action `reset`; `result` and `status` are there when it has ended."""

    def __init__(self, node: Node, client: ActionClient, *start_rad: float, interrupt: bool = False) -> None:
        self.node = node
        self.feedback: list[ResetRobot.Feedback] = []
        self.result: ResetRobot.Result | None = None
        self.status = GoalStatus.STATUS_UNKNOWN
        goal = ResetRobot.Goal(start_rad=start_rad, interrupt=interrupt)
        sent = client.send_goal_async(goal, feedback_callback=lambda message: self.feedback.append(message.feedback))
        spin_until(node, sent.done, what="the goal is taken")
        self.handle = sent.result()
        assert self.handle.accepted
        self.handle.get_result_async().add_done_callback(self._on_result)

    def _on_result(self, future: Any) -> None:
        self.result, self.status = future.result().result, future.result().status

    def end(self) -> ResetRobot.Result:
        spin_until(self.node, lambda: self.result is not None, what="the end of the goal")
        return self.result

    def cancel(self) -> int:
        answer = self.handle.cancel_goal_async()
        spin_until(self.node, answer.done, what="the goal is cancelled")
        return len(answer.result().goals_canceling)

    @property
    def phases(self) -> list[str]:
        return list(dict.fromkeys(feedback.phase for feedback in self.feedback))


def client_of(node: Node) -> ActionClient:
    client = ActionClient(node, ResetRobot, "reset")
    spin_until(node, client.server_is_ready, what="the action reset is there")
    return client


def begun(node: Node, client: ActionClient, *start_rad: float) -> Goal:
    """A goal that the task works on; asked again until the bridge has started and armed the robot."""
    while True:
        goal = Goal(node, client, *start_rad, interrupt=True)
        spin_until(node, lambda goal=goal: goal.feedback or goal.result, what="feedback")
        if goal.feedback:
            return goal
        message = goal.result.message
        assert message.startswith(("the bridge is silent", "the robot is disarmed")), message
