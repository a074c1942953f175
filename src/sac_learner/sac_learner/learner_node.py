"""Node `learner`: replay topic in, policy and learner/status out. Everything else is in `trainer`.

One thread does it all: messages are taken between updates, so nothing needs a lock and the same transitions give the
same policy.
"""

from __future__ import annotations

import gc
import math
import signal
import sys
import time
from collections.abc import Callable, Sequence

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import ExternalShutdownException
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rosac_common.messages import transition_from_message
from rosac_common.parameters import declare_settings
from rosac_common.priority import give_way
from rosac_common.settings import SettingsError
from sac_interfaces.msg import EpisodeSummary, LearnerStatus, PolicyWeights, Transition

from rosac_common import qos
from sac_learner.atomic_file import DamagedFileError, StorageError
from sac_learner.learner_messages import diagnostics_message, episode_row, scalars, status_message
from sac_learner.learning.checkpoint import CheckpointError
from sac_learner.learning.replay import ReplayMemoryError
from sac_learner.learning.replay_log import ReplayLogError
from sac_learner.learning.trainer import Trainer
from sac_learner.metrics import MetricsWriter
from sac_learner.policy_messages import policy_to_message
from sac_learner.resend import ResendClient
from sac_learner.runs.episode_table import EpisodeTable
from sac_learner.runs.run_files import RunLockedError
from sac_learner.settings import LearnerNodeSettings

# Errors that a person has to mend before the learner can start: printed without a traceback, exit code 2.
START_ERRORS = (
    SettingsError,
    ReplayLogError,
    CheckpointError,
    DamagedFileError,
    ReplayMemoryError,
    StorageError,
    RunLockedError,
)
_DIAGNOSTICS_PERIOD_S = 1.0
_DRAIN = 256  # messages taken between two updates at most
_IDLE_S = 0.05  # longest sleep: signals are looked at between sleeps
_TASK_GRACE_S = 5.0  # a task that has not been seen for this long is missing: discovery takes a moment
_SHOW_REJECTED_S = 30.0  # how long a refused transition or episode summary is talked about


class LearnerNode(Node):
    """Shell around a `Trainer`: parameters, messages, timing."""

    def __init__(self) -> None:
        super().__init__("learner")
        self.settings = declare_settings(self, LearnerNodeSettings)
        if self.settings.sac.gradients == "compiled":
            self.get_logger().info("compiling the update: 10 to 30 s where it is new on this computer")
        self.trainer = Trainer(self.settings)
        # Only now: everybody waits for the learner's start.
        if problem := give_way(self.settings.niceness):
            self.get_logger().warning(problem)
        for note in self.trainer.notes:
            self.get_logger().info(note)
        self._inbox: list[Transition] = []
        self._replay = self.create_subscription(Transition, "replay", self._inbox.append, qos.REPLAY)
        self._policy_publisher = self.create_publisher(PolicyWeights, "policy", qos.LATCHED)
        self._status_publisher = self.create_publisher(LearnerStatus, "learner/status", qos.LATCHED)
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, "diagnostics", qos.EVENTS)
        self._episodes = EpisodeTable(self.trainer.files.episodes)
        self.create_subscription(EpisodeSummary, "episode", self._add_episode, qos.EPISODES)
        self._resend = ResendClient(self, self.trainer)
        self._metrics = MetricsWriter(self.trainer.files.metrics, resumed_at=self.trainer.resumed_at)
        self._policy: PolicyWeights | None = None
        self._policy_subscribers = 0
        self._logged: dict[str, str] = {}  # problems as they were last written to the log
        now_s = time.monotonic()
        self._rate = _Rate(self.trainer.pacer.updates, now_s)
        self._rejected, self._rejected_s = self.trainer.intake.counters.rejected, now_s
        self._summary_refused_s = -math.inf
        self._metrics_step = self.trainer.resumed_at  # transitions at the last point of the curves
        # Times at which things are due next.
        self._task_missing_s = now_s + _TASK_GRACE_S
        self._diagnostics_s = self._status_s = now_s
        self._metrics_s = now_s + self.settings.storage.metrics_period_s
        self._publish_status(now_s)

    def run(self, executor: EventsExecutor, stopping: Callable[[], bool]) -> None:
        """Work until `stopping` says so: messages, one step, whatever is due; sleep when there is nothing to do."""
        while not stopping():
            self._drain(executor)
            now_s = time.monotonic()
            self.trainer.flush(now_s)
            busy = self.trainer.step()
            self._housekeeping(now_s)
            if not busy:
                executor.spin_once(timeout_sec=_IDLE_S)

    def _drain(self, executor: EventsExecutor) -> None:
        """Take the messages that have arrived, without waiting."""
        known = -1
        while known < len(self._inbox) < _DRAIN:
            known = len(self._inbox)
            executor.spin_once(timeout_sec=0)
        if not self._inbox:
            return
        # The subscription holds on to this very list.
        messages = self._inbox.copy()
        self._inbox.clear()
        self._resend.heard(time.monotonic())
        for message in messages:
            try:
                transition = transition_from_message(message)
            except ValueError as error:
                self.trainer.refuse(message.session_id, message.sequence, str(error))
                continue
            self.trainer.offer(transition)

    def _housekeeping(self, now_s: float) -> None:
        """Everything that is due besides updates; nothing here waits for another node."""
        trainer = self.trainer
        policy = trainer.new_policy()
        if policy is not None:
            self._policy = policy_to_message(policy)
            self._policy.header.stamp = self.get_clock().now().to_msg()
            self._policy_publisher.publish(self._policy)
        trainer.keep_policy_if_due(now_s)
        saved = trainer.save_if_due(now_s)
        if saved and trainer.finished:
            self.get_logger().info(
                f"finished: {trainer.pacer.taken} transitions, {trainer.pacer.updates} updates; policy in "
                f"{trainer.files.policy}"
            )
        self._resend.ask(now_s)
        limit = trainer.sequence_limit
        grown = abs(limit - self._sent_limit) >= max(1, self.settings.pacing.band_steps // 4)
        if now_s >= self._status_s or grown or saved:
            self._publish_status(now_s)
        if now_s >= self._metrics_s:
            self._metrics_s = now_s + self.settings.storage.metrics_period_s
            self._write_metrics()
        if now_s >= self._diagnostics_s:
            self._diagnostics_s = now_s + _DIAGNOSTICS_PERIOD_S
            self._diagnose(now_s)

    def _publish_status(self, now_s: float) -> None:
        if now_s >= self._status_s:
            self._status_s = now_s + 1.0 / self.settings.status_rate_hz
            self._greet_new_actors()
            self.trainer.check()
        updates_per_s = self._rate.update(now_s, self.trainer.pacer.updates)
        self._status = status_message(self.trainer, updates_per_s)
        self._status.header.stamp = self.get_clock().now().to_msg()
        self._status_publisher.publish(self._status)
        self._sent_limit = self._status.sequence_limit

    def _greet_new_actors(self) -> None:
        """Send the policy again when a subscriber has joined: late joiners rarely miss the latched one."""
        count = self._policy_publisher.get_subscription_count()
        if count > self._policy_subscribers and self._policy is not None:
            self._policy_publisher.publish(self._policy)
        self._policy_subscribers = count

    def _add_episode(self, message: EpisodeSummary) -> None:
        try:
            row = episode_row(message)
        except ValueError as error:
            # Kept for late joiners: it would come again after every restart.
            self._summary_refused_s = time.monotonic()
            self.trainer.problems["episode summary"] = (
                f"episode {message.episode} of session '{message.session_id}' is refused: {error}; look at who "
                "publishes on 'episode'"
            )
            return
        self._write_episodes(lambda: self._episodes.add(row, message.index))
        if self._episodes.missing:
            self.trainer.problems["episodes"] = (
                f"{self._episodes.missing} episodes of session '{message.session_id}' ended unheard, while no learner "
                "ran, or were refused: episodes.csv and its sums lack them; transitions are counted on their own"
            )
        else:
            self.trainer.problems.pop("episodes", None)

    def _write_episodes(self, write: Callable[[], object]) -> None:
        try:
            write()
            self.trainer.problems.pop("episode table", None)
        except (StorageError, DamagedFileError) as error:
            self.trainer.problems["episode table"] = f"{error}; it is tried again"

    def _write_metrics(self) -> None:
        """Add a point to the curves, unless nothing has come since the last one."""
        if self.trainer.pacer.taken == self._metrics_step:
            return
        self._metrics_step = self.trainer.pacer.taken
        problem = self._metrics.write(self.trainer.pacer.taken, scalars(self._status))
        if problem:
            self.trainer.problems["metrics"] = problem
        else:
            self.trainer.problems.pop("metrics", None)

    def _diagnose(self, now_s: float) -> None:
        """Diagnostics, and each problem once into the log when it appears or ends."""
        trainer = self.trainer
        if self._replay.get_publisher_count() or trainer.finished:
            self._task_missing_s = now_s + _TASK_GRACE_S
        if now_s >= self._task_missing_s:
            trainer.problems["task"] = (
                "no task publishes on 'replay': start the task, or check its namespace and domain"
            )
        else:
            trainer.problems.pop("task", None)
        rejected = trainer.intake.counters.rejected
        if rejected != self._rejected:
            self._rejected, self._rejected_s = rejected, now_s
        elif now_s - self._rejected_s > _SHOW_REJECTED_S:
            trainer.problems.pop("transitions", None)
        if now_s - self._summary_refused_s > _SHOW_REJECTED_S:
            trainer.problems.pop("episode summary", None)
        self._write_episodes(self._episodes.flush)
        message = diagnostics_message(trainer, self._status)
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics_publisher.publish(message)
        for name, text in trainer.problems.items():
            if self._logged.get(name) != text:
                self.get_logger().warning(f"{name}: {text}")
        for name in self._logged.keys() - trainer.problems.keys():
            self.get_logger().info(f"{name}: well again")
        self._logged = dict(trainer.problems)

    def close(self) -> None:
        """Write the last points and a last checkpoint; let go of the run directory."""
        self._publish_status(time.monotonic())
        self._write_metrics()
        self._metrics.close()
        self._write_episodes(self._episodes.flush)
        self.trainer.close()
        for name, text in self.trainer.problems.items():
            if self._logged.get(name) != text:
                self.get_logger().warning(f"{name}: {text}")


class _Rate:
    """Updates per second over the last second or so."""

    def __init__(self, updates: int, now_s: float) -> None:
        self._updates, self._since_s, self._value = updates, now_s, 0.0

    def update(self, now_s: float, updates: int) -> float:
        elapsed_s = now_s - self._since_s
        if elapsed_s >= 1.0:
            self._value = (updates - self._updates) / elapsed_s
            self._updates, self._since_s = updates, now_s
        return self._value


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the learner until SIGINT, SIGTERM or shutdown; 2 when it cannot start, 1 when learning failed."""
    rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    stop: list[int] = []
    node, code = None, 0
    try:
        node = LearnerNode()
        executor = EventsExecutor()
        executor.add_node(node)
        # After the executor, which may install handlers of its own. A second signal must not break the last checkpoint.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda received, _: stop.append(received))
        node.run(executor, lambda: bool(stop) or not rclpy.ok())
        code = 1 if node.trainer.failure else 0
    except START_ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    except ExternalShutdownException:
        pass
    except Exception as error:
        if node is not None:
            # What an interrupted update left behind is not worth a checkpoint.
            node.trainer.failure = f"unexpected error: {error!r}"
        raise
    finally:
        # Python drops its own handlers at the very end: a second Ctrl-C would look like a crash there.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        if node is not None:
            node.close()
            node.destroy_node()
        rclpy.try_shutdown()
        # All is written. At its end Python would look through PyTorch's compiler for garbage: 1 s on a quiet computer.
        gc.freeze()
    return code
