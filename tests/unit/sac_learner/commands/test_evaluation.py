"""What an evaluation says of the episodes it saw."""

import os
from types import SimpleNamespace

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from helpers.learning import make_policy
from rosac_common.settings import load_parameter_file
from sac_interfaces.msg import EpisodeSummary
from sac_learner.atomic_file import DamagedFileError
from sac_learner.commands import evaluation, monitor
from sac_learner.commands.evaluation import _summary, episode_timeout_s, evaluate, evaluation_graph
from sac_learner.graph.stacks import STACKS, complete_arguments
from sac_learner.runs.run_directory import Run, RunError
from valve_task.machine_io import Phase
from valve_task.messages import diagnostic


def seen(task, *errors):
    return [
        EpisodeSummary(task=task, final_error_rad=error, episode_return=10.0, success=error == 0) for error in errors
    ]


def test_errors_are_told_in_the_unit_of_the_task():
    assert str(_summary(seen("DClawTurn", 0.0, 0.5))) == (
        "2 episodes: success 50%, mean final error 0.250 rad, mean return 10"
    )
    walked = _summary(seen("MinitaurWalk", 0.0, 0.5))
    assert "mean final error 0.250 m/s" in str(walked)
    assert walked.to_json()["error_unit"] == "m/s"
    assert walked.to_json()["final_error_mean"] == 0.25


@pytest.mark.parametrize(
    ("given", "changes", "expected"),
    [
        ({}, {}, "evaluation_{pid}"),
        ({"namespace": "second"}, {}, "evaluation_{pid}"),
        ({"backend": "dynamixel", "port": "emulator"}, {}, "evaluation_{pid}"),
        ({}, {"namespace": ""}, ""),
        ({}, {"namespace": "mine"}, "mine"),
        ({"backend": "dynamixel", "port": "/dev/ttyUSB0"}, {}, ""),
        ({"backend": "dynamixel", "port": "/dev/ttyUSB0", "namespace": "second"}, {}, "second"),
        ({}, {"backend": "dynamixel", "port": "/dev/ttyUSB0"}, ""),
    ],
)
def test_only_what_is_simulated_has_a_namespace_of_its_own(tmp_path, given, changes, expected):
    """Who stops a real robot, and its sensors' drivers, must be heard in an evaluation, too."""
    run = Run(tmp_path / "r", "dclaw_valve", complete_arguments(STACKS["dclaw_valve"], given))
    namespace = evaluation_graph(run, tmp_path / "policy.safetensors", changes).arguments["namespace"]
    assert namespace == expected.format(pid=os.getpid())


@pytest.mark.parametrize("deterministic", [True, False])
def test_the_actor_takes_the_mean_action_or_draws_as_in_training(tmp_path, deterministic):
    run = Run(tmp_path, "dclaw_valve", complete_arguments(STACKS["dclaw_valve"], {}))
    graph = evaluation_graph(run, run.files.policy, {}, deterministic=deterministic)
    assert graph.parameters["actor"].deterministic is deterministic
    assert graph.parameters["actor"].policy_file == str(run.files.policy.resolve())


def test_a_policy_that_is_not_there_or_no_policy_is_refused_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "Supervisor", None)
    run = Run(tmp_path, "dclaw_valve", complete_arguments(STACKS["dclaw_valve"], {}))
    with pytest.raises(RunError, match="has no policy.safetensors yet"):
        evaluate(run, run.files.policy, 1, {}, print)
    other = run.files.kept_policy(3000)
    with pytest.raises(RunError, match=f"there is no policy {other}; in {other.parent}: none"):
        evaluate(run, other, 1, {}, print)
    make_policy().save(run.files.kept_policy(2000), {})
    with pytest.raises(RunError, match="policies: policy_00002000.safetensors"):
        evaluate(run, other, 1, {}, print)
    other.write_bytes(b"no policy")
    with pytest.raises(DamagedFileError, match="policy_00003000"):
        evaluate(run, other, 1, {}, print)


def node_seeds(graph):
    return {name: graph.parameters[name].seed for name in ("bridge", "task")}


@pytest.mark.parametrize("own", [None, "/**: {ros__parameters: {seed: 3}}"])
def test_episodes_are_those_of_no_training_and_the_same_for_every_policy(tmp_path, own):
    given = {"seed": "5"}
    if own:
        given["params"] = str(tmp_path / "params.yaml")
        (tmp_path / "params.yaml").write_text(own)
    run = Run(tmp_path, "dclaw_valve", complete_arguments(STACKS["dclaw_valve"], given), sessions=3)
    trained, untrained = (
        node_seeds(evaluation_graph(run, policy, {})) for policy in (run.files.policy, run.files.untrained_policy)
    )
    assert trained == untrained
    trainings = [node_seeds(run.resolve({}).in_session(session)) for session in range(1, 5)]
    for name, seed in trained.items():
        assert seed not in [training[name] for training in trainings], name
    if not own:
        other = node_seeds(evaluation_graph(run, run.files.policy, {"seed": "6"}))
        assert not set(other.values()) & set(trained.values())
        assert other != node_seeds(run.resolve({"seed": "6"})), "eval --seed 6 sees the training with seed:=6"


class Bench:
    """A clock, and a monitor, supervisor and operator's console for which time passes."""

    def __init__(self, phases, episodes_at_s=()):
        self.now_s, self._phases, self._episodes_at_s = 0.0, phases, list(episodes_at_s)
        self.complaints, self._rested_s, self.waits, self.namespace = {}, -1e9, False, evaluation._own_namespace()

    rests = monitor.Monitor.rests

    def monotonic(self):
        return self.now_s

    def spin(self, _):
        self.now_s += 1.0
        assert self.now_s < 2000, "waits for ever"
        if phase := self._phases(self.now_s):
            loop = SimpleNamespace(session_id="s", record=None)
            parts = {
                "problems": SimpleNamespace(texts={"heat": "valve 70 C"}),
                "task": SimpleNamespace(name="DClawTurn"),
            }
            parts |= {"loop": loop, "history": SimpleNamespace(added=0), "voided": 0, "reset_progress": None}
            status = diagnostic("task", SimpleNamespace(phase=phase, **parts))
            monitor.Monitor._diagnostics(self, DiagnosticArray(status=[status]))
        while self._episodes_at_s and self._episodes_at_s[0] <= self.now_s:
            self.on_episode(EpisodeSummary(task="DClawTurn", episode=int(self._episodes_at_s.pop(0))))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def with_files(self, _, config, logs, *__):
        self.config, self.logs = config, logs
        return self

    start = stop = check = update = lambda *_: None


def evaluate_on(bench, tmp_path, monkeypatch, **given):
    def listen(_, __, on_episode):
        bench.on_episode = on_episode
        return bench

    monkeypatch.setattr(evaluation, "Monitor", listen)
    monkeypatch.setattr(evaluation, "Supervisor", bench.with_files)
    monkeypatch.setattr(evaluation, "OperatorConsole", lambda *_: bench)
    for module in (evaluation, monitor):
        monkeypatch.setattr(module, "time", bench)
    policy, notes = tmp_path / "policy.safetensors", []
    make_policy().save(policy, {})
    run = Run(tmp_path, "dclaw_valve", complete_arguments(STACKS["dclaw_valve"], given))
    return evaluate(run, policy, 2, {}, notes.append), notes


def test_a_robot_that_rests_is_not_stuck(tmp_path, monkeypatch):
    bench = Bench(lambda now_s: Phase.RESTING if now_s < 900 else Phase.ACTING, [10, 990])
    result, notes = evaluate_on(bench, tmp_path, monkeypatch)
    assert result.episodes == 2
    assert notes == ["The robot rests: valve 70 C"]


@pytest.mark.parametrize("after", [Phase.RESETTING, None])
def test_a_robot_that_does_nothing_or_a_task_that_says_nothing_is_stuck(tmp_path, monkeypatch, after):
    bench = Bench(lambda now_s: Phase.RESTING if now_s < 900 else after)
    with pytest.raises(RuntimeError, match="no episode ended within 128 s: valve 70 C"):
        evaluate_on(bench, tmp_path, monkeypatch)
    assert 900 < bench.now_s < 1040


def test_evaluations_at_the_same_time_share_no_folder_and_later_ones_take_it_again(tmp_path, monkeypatch):
    """Each starts its nodes, and starts them again, with what it was asked for."""

    def evaluation_of(seed, during=lambda: None):
        bench = Bench(lambda _: None, [10, 20])
        bench.start = during
        evaluate_on(bench, tmp_path, monkeypatch, seed=seed)
        return bench.config, bench.logs, load_parameter_file(bench.config)["/**/bridge"]["seed"]

    second = []
    first = evaluation_of("1", during=lambda: second.extend(evaluation_of("2")))
    for mine, other in zip(first, second, strict=True):
        assert mine != other
    later = evaluation_of("3")
    assert later[0] == first[0]
    assert len(list((tmp_path / "evaluation").iterdir())) == 2


def test_a_long_episode_has_its_time(tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("/**/task: {ros__parameters: {task.horizon_steps: 4000}}")
    run = Run(tmp_path, "dclaw_valve", complete_arguments(STACKS["dclaw_valve"], {}))
    assert episode_timeout_s(run.resolve({"params": str(own)})) == 120.0 + 4000 * 0.1
