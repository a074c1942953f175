"""Training without ROS: what is stored, evaluated, resumed and refused, and that it learns."""

import json
import os
import shutil

import helpers.gym_environments  # noqa: F401 - registers them
import numpy as np
import pytest
import torch
from gymnasium import registry
from rosac_common.settings import from_mapping
from rosac_common.transition import EndReason, Source
from sac_learner.gym import evaluation as gym_evaluation
from sac_learner.gym import training as gym_training
from sac_learner.gym.environment import BadStepError, GymEnvironment
from sac_learner.gym.evaluation import EndlessEpisodeError, evaluate
from sac_learner.gym.settings import GymSettings
from sac_learner.gym.storage import GymRunError
from sac_learner.gym.training import GymTraining, NotFiniteError
from sac_learner.learning.checkpoint import CheckpointError
from sac_learner.learning.replay_log import ReplayLog
from sac_learner.policy import PolicyNetwork, load_policy
from sac_learner.runs.run_files import RunLockedError

QUICK = {
    "sac.hidden_sizes": [16, 16],
    "sac.batch_size": 8,
    "sac.initial_random_steps": 20,
    "sac.min_pool_steps": 5,
    "evaluation_episodes": 2,
    "checkpoint_interval_updates": 10,
    "threads": 1,
}


def settings(env_id="test/Truncated-v0", **changes):
    dotted = {name.replace("__", "."): value for name, value in changes.items()}
    return from_mapping(GymSettings, {"env_id": env_id, "steps": 50, **QUICK, **dotted})


def trained(made, *, until=None):
    while not made.finished and (until is None or made.steps < until):
        made.step()
    return made


@pytest.fixture(scope="module")
def run_of_30_steps(tmp_path_factory):
    made = trained(GymTraining(settings(), path := tmp_path_factory.mktemp("run")), until=30)
    made.save()
    made.close()
    return path


def weights(made):
    return np.concatenate([tensor.ravel() for tensor in made._learner.policy_tensors().values()])


def records(directory, env_id):
    log = ReplayLog(directory / "replay", task_name=env_id, observation_size=3, action_size=2, sync_period_s=1.0)
    return [record for segment in log.segments for record in segment.records]


# --- what is stored -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env_id", "length", "end"),
    [
        ("test/Truncated-v0", 5, EndReason.TIME_LIMIT),
        ("test/Terminated-v0", 3, EndReason.TERMINATED),
        ("test/Ended-v0", 5, EndReason.TERMINATED),
    ],
)
def test_only_a_terminal_state_cuts_the_bootstrap(env_id, length, end, tmp_path):
    made = trained(GymTraining(settings(env_id, steps=30), tmp_path))
    stored = records(tmp_path, env_id)
    assert len(stored) == 30
    for number, record in enumerate(stored):
        last = (number + 1) % length == 0
        assert record["end_reason"] == (end if last else EndReason.NONE)
        # observation: episode, step; the next one belongs to the same episode, also at its end
        assert record["observation"].tolist() == [number // length + 1, number % length, 0]
        assert record["next_observation"].tolist() == [number // length + 1, number % length + 1, 0]
        assert record["reward"] == number % length + 1
        assert record["source"] == (Source.RANDOM if number < 20 else Source.POLICY)
    bootstrap = made._memory.sample(200, np.random.default_rng(0)).bootstrap
    assert (0.0 in bootstrap) == (end is EndReason.TERMINATED)
    made.close()


def test_random_actions_are_uniform_over_the_bounds(tmp_path):
    made = trained(GymTraining(settings(steps=1000, sac__initial_random_steps=1000)))
    actions = np.array(made._interaction.environment._environment.unwrapped.actions)
    low, high = np.array([-3.0, 0.0]), np.array([1.0, 0.5])
    assert (actions >= low).all() and (actions <= high).all()
    shares = np.histogram((actions[:, 0] + 3) / 4, bins=4, range=(0, 1))[0] / 1000
    assert np.abs(shares - 0.25).max() < 0.06


@pytest.mark.parametrize(("ratio", "updates"), [(1.0, 30), (0.5, 15), (3.0, 90)])
def test_updates_follow_the_mode(ratio, updates):
    made = trained(GymTraining(settings(pacing__updates_per_step=ratio)))
    assert (made.steps, made.updates) == (50, updates)


@pytest.mark.parametrize(
    ("changes", "updates"),
    [({"steps": 20}, 0), ({"steps": 21}, 1), ({"steps": 21, "pacing__updates_per_step": 0.5}, 0), ({"steps": 22}, 2)],
)
def test_a_training_without_an_update_is_told_at_its_start(changes, updates):
    made = GymTraining(settings(evaluation_interval_steps=50, **changes))
    note = "updates begin after 20 steps (sac.initial_random_steps 20, sac.min_pool_steps 5)"
    assert [note in each for each in made.notes].count(True) == (0 if updates else 1)
    assert trained(made).updates == updates


def test_every_update_draws_a_batch_of_its_own(monkeypatch):
    made = GymTraining(settings(pacing__updates_per_step=3.0, steps=24))
    update, batches = made._learner.update, []
    monkeypatch.setattr(made._learner, "update", lambda batch: batches.append(batch) or update(batch))
    trained(made)
    contents = {batch.observation.tobytes() + batch.action.tobytes() for batch in batches}
    assert len(contents) == len(batches) == made.updates == 12


def test_symmetries_and_targets_of_the_environment_reach_the_learner():
    quick = {"steps": 30, "evaluation_interval_steps": 30}
    quick |= {"sac__symmetry_augmentation": True, "sac__target_relabelling": True}
    plain, own = (GymTraining(settings(env_id, **quick)) for env_id in ("Pendulum-v1", "rosac/DClawTurn-v0"))
    assert plain._learner._symmetries is None and plain._learner._relabelling is None
    assert own._learner._relabelling is not None
    of_action = own._interaction.environment._environment.unwrapped.symmetries[1]
    assert own._learner._symmetries.action_order.shape == (len(of_action) // 9, 9)
    trained(own).close()


# --- evaluation -----------------------------------------------------------------------------------------------------


def test_evaluations_come_at_their_interval_and_at_the_end():
    result = trained(GymTraining(settings(steps=50, evaluation_interval_steps=20))).result()
    assert {"env_id": "test/Truncated-v0", "mode": "sac", "seed": 0}.items() <= result.items()
    assert result["steps"] == [20, 40, 50]
    assert result["return_mean"] == [15.0] * 3
    assert "success_rate" not in result and "robot_time_s" not in result
    assert len(trained(GymTraining(settings(steps=50))).result()["steps"]) == 25, "a twentieth of the steps, at least 1"


def test_success_is_reported_where_it_is_judged():
    made = trained(GymTraining(settings("test/Judged-v0", evaluation_interval_steps=25, final_evaluation_episodes=3)))
    first, last = made.result()["success_rate"]
    assert first == 0.5, "of two episodes with running numbers one is odd"
    assert last in (1 / 3, 2 / 3)


def test_robot_time_counts_resets_and_not_evaluations():
    made = trained(GymTraining(settings("rosac/DClawTurn-v0", steps=170, evaluation_interval_steps=80)))
    first, second, last = made.result()["robot_time_s"]
    assert 8.0 < first < 12.0, "8 s of steps and a reset of about 2 s"
    assert first + 8.0 < second < last
    assert set(made.result()["success_rate"]) <= {0.0, 0.5, 1.0}
    made.close()


def test_an_episode_without_end_is_named(monkeypatch):
    monkeypatch.setattr(gym_evaluation, "LONGEST_EPISODE_STEPS", 50)
    with pytest.raises(EndlessEpisodeError, match="--max-episode-steps"):
        trained(GymTraining(settings("test/Endless-v0")))
    trained(GymTraining(settings("test/Endless-v0", max_episode_steps=7)))


# --- repeatable and resumable ---------------------------------------------------------------------------------------


def test_same_seed_same_everything():
    first, again, other = (trained(GymTraining(settings("Pendulum-v1", seed=seed))) for seed in (1, 1, 2))
    assert first.result() == again.result()
    assert np.array_equal(weights(first), weights(again))
    assert first.result()["return_mean"] != other.result()["return_mean"]


def test_a_killed_run_repeats_its_updates_and_goes_on(tmp_path):
    own = settings("Pendulum-v1", steps=70, evaluation_interval_steps=15)
    whole = trained(GymTraining(own), until=47)
    killed = trained(GymTraining(own, tmp_path), until=47)
    killed.close()  # no checkpoint: the last one is at 40 steps, after 20 updates
    resumed = GymTraining(own, tmp_path, resume=True)
    assert (resumed.steps, resumed.updates) == (40, 20)
    assert "replay memory: at most" in resumed.notes[0]
    assert "resumed at 40 steps and 20 updates; 7 more" in resumed.notes[1]
    trained(resumed, until=47)
    assert np.array_equal(weights(resumed), weights(whole))
    assert resumed.evaluations == whole.evaluations
    trained(resumed)
    assert (resumed.steps, resumed.updates) == (70, 50)
    assert resumed.result()["steps"] == [15, 30, 45, 60, 70]
    resumed.close()


def contents(directory):
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_run_killed_before_its_first_checkpoint_loses_no_step(tmp_path):
    first = trained(GymTraining(settings(), tmp_path), until=13)
    first.close()
    resumed = trained(GymTraining(settings(), tmp_path, resume=True))
    stored = records(tmp_path, "test/Truncated-v0")
    assert [record["sequence"] for record in stored] == [*range(13), *range(37)]
    assert stored[13]["step"] == 0, "the environment's state is lost: a new episode"
    # The same numbers again would teach nothing new.
    for name in ("executed_action", "requested_action"):
        assert not np.array_equal(stored[0][name], stored[13][name])
    seeds = [made._interaction.environment._environment.unwrapped.seeds[0] for made in (first, resumed)]
    assert seeds[0] != seeds[1]
    resumed.close()


def test_a_finished_run_can_be_made_longer(tmp_path):
    trained(GymTraining(settings(steps=40, evaluation_interval_steps=20), tmp_path)).close()
    again = GymTraining(settings(steps=40), tmp_path, resume=True)
    assert again.finished and again.result()["steps"] == [20, 40]
    again.close()
    longer = trained(GymTraining(settings(steps=70, sac__products="bfloat16"), tmp_path, resume=True))
    assert longer.result()["steps"] == [20, 40, 60, 70], "the interval of the run stays"
    assert any("products are bfloat16 now, they were float32" in note for note in longer.notes)
    longer.close()
    policy = PolicyNetwork(load_policy(tmp_path / "policy.safetensors"))
    assert policy.weights.updates == 50


def test_every_policy_that_was_evaluated_is_kept(tmp_path):
    made = trained(GymTraining(settings(steps=40, evaluation_interval_steps=20), tmp_path))
    made.close()
    assert sorted(path.name for path in made._storage.files.kept_policies.iterdir()) == [
        "policy_00000020.safetensors",
        "policy_00000040.safetensors",
    ]
    environment = GymEnvironment(made.settings.env_id)
    for number, steps in enumerate((20, 40)):
        weights = load_policy(made._storage.files.kept_policy(steps))
        assert weights.transitions == steps
        seen = evaluate(
            environment,
            PolicyNetwork(weights),
            episodes=made.settings.evaluation_episodes,
            seed=made._seed(gym_training._EVALUATION, steps),
        )
        assert seen["return_mean"] == made.result()["return_mean"][number]
    environment.close()


@pytest.mark.parametrize("env_id", ["test/Truncated-v0", "rosac/DClawTurn-v0"])
def test_a_run_that_is_to_end_where_it_was_stopped_is_evaluated_there(env_id, tmp_path):
    stopped = trained(GymTraining(settings(env_id, evaluation_interval_steps=50), tmp_path), until=30)
    stopped.save()
    stopped.close()
    shorter = settings(env_id, steps=30)
    made = trained(GymTraining(shorter, tmp_path, resume=True))
    result = made.result()
    assert (result["steps"], result["updates"]) == ([30], 10)
    assert result.get("robot_time_s") == ([stopped._robot_time_s] if env_id.startswith("rosac") else None)
    made.close()
    again = GymTraining(shorter, tmp_path, resume=True)
    assert again.finished and again.result() == result, "it is kept"
    again.close()
    assert not {"success_rate", "robot_time_s"} & set(stopped.result()), "it has no evaluation"


def test_every_evaluation_tells_its_episodes_and_a_better_last_one_may_be_asked_for(tmp_path):
    def results(**changes):
        own = settings("test/Judged-v0", **{"steps": 40, "evaluation_interval_steps": 20, **changes})
        made = trained(GymTraining(own, tmp_path, resume=True))
        made.close()
        return made.result()

    assert results()["evaluation_episodes"] == [2, 2]
    better = results(evaluation_episodes=5)
    assert (better["steps"], better["evaluation_episodes"]) == ([20, 40], [2, 5])
    assert better["success_rate"] in ([0.5, 0.4], [0.5, 0.6])
    assert results() == better, "a worse one does not replace it"
    longer = results(steps=75, evaluation_interval_steps=30, final_evaluation_episodes=7)
    assert (longer["steps"], longer["evaluation_episodes"]) == ([20, 40, 60, 75], [2, 5, 2, 7])


def test_evaluations_from_before_they_told_their_episodes_had_those_of_the_run(tmp_path, run_of_30_steps):
    shutil.copytree(run_of_30_steps, tmp_path / "run")
    path = tmp_path / "run" / "evaluation.json"
    kept = json.loads(path.read_text())
    for each in kept:
        del each["evaluation_episodes"]
    path.write_text(json.dumps(kept))
    made = trained(GymTraining(settings(evaluation_episodes=3), tmp_path / "run", resume=True))
    assert made.result()["evaluation_episodes"] == [2] * 15 + [3] * 10
    made.close()


def test_another_run_is_refused(tmp_path):
    made = trained(GymTraining(settings(), tmp_path))
    with pytest.raises(RunLockedError):
        GymTraining(settings(steps=60), tmp_path, resume=True)
    made.close()
    with pytest.raises(GymRunError, match="--resume"):
        GymTraining(settings(), tmp_path)
    with pytest.raises(GymRunError, match="seed is 0 there and 3 here; sac.discount is 0.99 there and 0.5 here"):
        GymTraining(settings(seed=3, sac__discount=0.5), tmp_path, resume=True)
    before = contents(tmp_path)
    with pytest.raises(GymRunError, match="ask for at least 50 steps"):
        GymTraining(settings(steps=49, evaluation_interval_steps=7), tmp_path, resume=True)
    assert contents(tmp_path) == before, "nothing is changed by a run that is refused"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(GymRunError, match="holds thesis.tex and no gym.json"):
        GymTraining(settings(), tmp_path / "other", resume=True)


def test_a_run_from_before_a_setting_existed_had_its_default(tmp_path):
    trained(GymTraining(settings(), tmp_path), until=20).close()
    stored = json.loads((tmp_path / "gym.json").read_text())
    del stored["sac.noise_correlation"]
    (tmp_path / "gym.json").write_text(json.dumps(stored))
    with pytest.raises(GymRunError, match=r"sac.noise_correlation is 0.0 there and 0.7 here"):
        GymTraining(settings(sac__noise_correlation=0.7), tmp_path, resume=True)
    GymTraining(settings(), tmp_path, resume=True).close()


def test_damage_is_refused(tmp_path):
    trained(GymTraining(settings(), tmp_path)).close()
    newest = sorted((tmp_path / "checkpoints").glob("*.safetensors"))[-1]
    whole = newest.read_bytes()
    newest.write_bytes(whole[:-5])
    before = contents(tmp_path)
    with pytest.raises(CheckpointError, match="delete it to resume from"):
        GymTraining(settings(steps=60, evaluation_interval_steps=7), tmp_path, resume=True)
    assert contents(tmp_path) == before
    newest.write_bytes(whole)
    log = tmp_path / "replay" / "000000.replay"
    log.write_bytes(log.read_bytes()[:-200])
    before = contents(tmp_path)
    with pytest.raises(CheckpointError, match="the replay log holds 4[0-9]"):
        GymTraining(settings(), tmp_path, resume=True)
    assert contents(tmp_path) == before
    (tmp_path / "gym.json").write_text(json.dumps({"format": "other"}))
    with pytest.raises(GymRunError, match=r"cannot read .*gym.json"):
        GymTraining(settings(), tmp_path, resume=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", "it holds no list of evaluations"),
        ("[3]", "it holds no list of evaluations"),
        ('[{"a": 1}]', "evaluation 0 has no return_mean and no steps"),
        ('[{"steps": 10}]', "evaluation 0 has no return_mean"),
        ('[{"steps": "10", "return_mean": 1.0}]', "'steps' of evaluation 0 is '10'"),
        ('[{"steps": 10, "return_mean": NaN}]', "'return_mean' of evaluation 0 is nan"),
        ('[{"steps": 10, "return_mean": 1, "success_rate": true}]', "'success_rate' of evaluation 0 is True"),
        (
            '[{"steps": 10, "return_mean": 1, "evaluation_episodes": 2.5}]',
            "'evaluation_episodes' of evaluation 0 is 2.5",
        ),
        ('[{"steps": 20, "return_mean": 1}, {"steps": 10, "return_mean": 1}]', "its steps do not ascend"),
        ("[", "Expecting value"),
    ],
)
def test_evaluations_that_are_none_are_refused(text, expected, tmp_path, run_of_30_steps):
    shutil.copytree(run_of_30_steps, tmp_path / "run")
    path = tmp_path / "run" / "evaluation.json"
    path.write_text(text)
    with pytest.raises(GymRunError, match=f"cannot read {path}: .*{expected}.*restore it from a copy, or move"):
        GymTraining(settings(), tmp_path / "run", resume=True)
    # What the message says helps.
    path.parent.joinpath("checkpoints").rename(tmp_path / "away")
    again = GymTraining(settings(), tmp_path / "run", resume=True)
    assert again.steps == 0
    again.close()


@pytest.mark.parametrize("value", ["often", -3, 2.5, True, None])
def test_an_interval_that_is_none_is_refused(value, tmp_path, run_of_30_steps):
    shutil.copytree(run_of_30_steps, tmp_path / "run")
    path = tmp_path / "run" / "gym.json"
    document = json.loads(path.read_text()) | {"evaluation_interval_steps": value}
    path.write_text(json.dumps(document))
    with pytest.raises(GymRunError, match=f"cannot read {path}: .*'evaluation_interval_steps'.*or give --eval-int"):
        GymTraining(settings(), tmp_path / "run", resume=True)
    GymTraining(settings(evaluation_interval_steps=2), tmp_path / "run", resume=True).close()


def test_without_its_only_checkpoint_a_run_is_learned_again_from_its_log(tmp_path):
    run = settings(steps=60, keep_checkpoints=1)
    stopped = trained(GymTraining(run, tmp_path), until=50)
    stopped.save()
    stopped.close()
    (checkpoint,) = (tmp_path / "checkpoints").glob("*.safetensors")
    os.truncate(checkpoint, 1000)
    remedy = f"{checkpoint} .* is truncated.*move it away, and all is learned again from the replay log"
    with pytest.raises(CheckpointError, match=remedy):
        GymTraining(run, tmp_path, resume=True)
    checkpoint.rename(checkpoint.with_suffix(".damaged"))
    again = trained(GymTraining(run, tmp_path, resume=True), until=50)
    assert np.array_equal(weights(again), weights(stopped))
    assert again.evaluations == stopped.evaluations
    again.close()


def test_values_that_are_not_finite_end_the_training(tmp_path, monkeypatch):
    monkeypatch.setitem(registry["test/Any-v0"].kwargs, "bad", {4: {1: np.nan}})
    made = GymTraining(settings("test/Any-v0", evaluation_interval_steps=50), tmp_path)
    with pytest.raises(BadStepError, match="training episode 0, step 3: reward is nan"):
        trained(made)
    made.close()
    assert len(records(tmp_path, "test/Any-v0")) == 3
    broken = GymTraining(settings())
    state = broken._learner.state()
    nothing = {name: torch.full_like(each, torch.nan) for name, each in state.items() if each.is_floating_point()}
    broken._learner.load_state(state | nothing, 0)
    with pytest.raises(NotFiniteError, match="lower sac.learning_rate"):
        trained(broken)


# --- learning -------------------------------------------------------------------------------------------------------


def test_pendulum_is_learned():
    """-200 is a pendulum that swings up and stays up; uniformly random actions give about -1200."""
    own = {
        "sac.hidden_sizes": [64, 64],
        "sac.batch_size": 128,
        "sac.learning_rate": 2e-3,
        "sac.tau": 0.01,
        "sac.initial_random_steps": 500,
        "sac.min_pool_steps": 200,
        "evaluation_episodes": 10,
    }
    made = GymTraining(from_mapping(GymSettings, {"env_id": "Pendulum-v1", "steps": 4000, "threads": 1, **own}))
    returns = trained(made).result()["return_mean"]
    assert returns[0] < -900
    assert max(returns[-3:]) > -250, returns
