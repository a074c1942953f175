"""An environment as the learner sees it: what is refused, what a stranger's may give, and what is said otherwise."""

import sys

import gymnasium
import helpers.gym_environments  # noqa: F401 - registers them
import numpy as np
import pytest
from gymnasium.envs import registration
from rosac_common.settings import from_mapping
from sac_learner.gym.environment import BadStepError, GymEnvironment, GymEnvironmentError
from sac_learner.gym.evaluation import evaluate
from sac_learner.gym.settings import GymSettings
from sac_learner.gym.training import GymTraining

ACTION = np.zeros(2, dtype=np.float32)


class Still:
    def mean_action(self, observation):
        return ACTION


@pytest.fixture
def made(monkeypatch):
    """Makes an environment that gives something bad (see `Walk`), or has these attributes."""

    def make(**keywords):
        for name, value in keywords.items():
            monkeypatch.setitem(gymnasium.registry["test/Any-v0"].kwargs, name, value)
        return GymEnvironment("test/Any-v0", use="evaluation")

    return make


def test_actions_are_scaled_to_the_bounds():
    environment = GymEnvironment("test/Truncated-v0")
    for action, expected in (([-1, -1], [-3, 0]), ([1, 1], [1, 0.5]), ([0, 0], [-1, 0.25]), ([0.5, -0.5], [0, 0.125])):
        scaled = environment.scaled(np.array(action, dtype=np.float32))
        assert scaled.tolist() == expected
        assert scaled.dtype == np.float64
    environment = GymEnvironment("Pendulum-v1")
    tiny = np.array([1e-9], dtype=np.float32)
    assert environment.scaled(tiny) == 2 * tiny, "small actions lose nothing"
    assert environment.scaled(tiny).dtype == np.float32


@pytest.mark.parametrize(
    ("env_id", "expected"),
    [
        ("test/Nothing-v0", "unknown environment 'test/Nothing-v0'"),
        ("Pendulumm-v1", "Did you mean: `Pendulum`"),
        ("rosac/DClawTurm-v0", "Did you mean: `DClawTurn`"),
        ("test/DiscreteAction-v0", r"action space Discrete\(3\).*needs continuous actions"),
        ("test/IntegerAction-v0", r"action space Box\(0, 5, \(2,\), int64\).*needs continuous actions"),
        ("test/UnboundedAction-v0", r"action space Box\(-inf, inf.*TransformAction"),
        ("test/NoRange-v0", "every lower bound must be below"),
        ("test/Dictionary-v0", r"observation space Dict\(.*FlattenObservation"),
        ("test/Image-v0", r"observations of uint8 \(16, 16, 3\).*images are a later step"),
        ("test/FloatImage-v0", r"observations of float32 \(16, 16, 3\).*images are a later step"),
        ("test/GreyImage-v0", r"observations of uint8 \(16, 16\).*images are a later step"),
        ("test/Flags-v0", r"observations of bool \(3,\).*vectors of numbers"),
    ],
)
def test_what_cannot_be_learned_is_refused_with_the_remedy(env_id, expected):
    with pytest.raises(GymEnvironmentError, match=expected):
        GymEnvironment(env_id)


@pytest.mark.parametrize(
    ("env_id", "expected"),
    [
        ("not_there:A-v0", "there is no module 'not_there' in {here} or where .*; start rosac in the directory"),
        ("mine.not_there:A-v0", "there is no module 'mine.not_there' in {here} or where"),
        ("needy:A-v0", "the module 'needy' cannot be imported: ModuleNotFoundError: .*'not_there'; install what it"),
        ("broken:A-v0", "the module 'broken' cannot be imported: ZeroDivisionError: .*; mend it"),
        (":A-v0", "the module '' cannot be imported: ValueError: Empty module name"),
        ("mine:Other-v0", "unknown environment 'mine:Other-v0'"),
        ("mine:Needy-v0", "cannot be made: ModuleNotFoundError: .*'not_there'; install what it needs"),
        ("mine:Broken-v0", "cannot be made: ZeroDivisionError"),
    ],
)
def test_a_module_that_is_not_found_or_broken_is_told_apart(env_id, expected, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text(
        "import gymnasium\n"
        "def needy(): import not_there\n"
        "def broken(): 1 / 0\n"
        "gymnasium.register('Needy-v0', needy)\n"
        "gymnasium.register('Broken-v0', broken)\n"
    )
    (tmp_path / "needy.py").write_text("import not_there")
    (tmp_path / "broken.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(registration, "registry", dict(registration.registry))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    with pytest.raises(GymEnvironmentError, match=expected.format(here=tmp_path)):
        GymEnvironment(env_id)


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8"])
def test_whole_numbers_are_observed_as_floats(dtype):
    environment = GymEnvironment(f"test/Counts-{dtype}-v0")
    observation = environment.reset()
    assert observation.tolist() == [1, 0, 0]
    assert environment.step(ACTION).observation.dtype == observation.dtype == np.float32


# --- what it gives --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({1: np.nan}, "reward is nan; values must be finite"),
        ({1: -np.inf}, "reward is -inf; values"),
        ({1: 1e39}, r"reward is 1e\+39; values must be finite \(float32"),
        ({1: None}, "reward is None, expected one number"),
        ({1: "much"}, "reward is 'much', expected one number"),
        ({1: np.zeros(2)}, r"reward is array\(.*expected one number"),
        ({1: [[1.0], [2.0, 3.0]]}, r"reward is \[\[.*expected one number"),
        ({0: np.array([0, np.nan, 0])}, r"observation\[1\] is nan; values"),
        ({0: np.array([0, 0, 1e300])}, r"observation\[2\] is 1e\+300; values"),
        ({0: np.zeros(4)}, "observation has 4 values, expected 3"),
        ({0: {"joints": 1}}, "observation is {'joints': 1}, expected 3 numbers"),
        ({2: None}, "terminated is None"),
        ({3: np.array([True, False])}, "truncated is array"),
        ({4: {"is_success": "yes"}}, "is_success is 'yes'"),
        ({4: None}, r"it must return \(observation, reward, terminated, truncated, info\)"),
        ((np.zeros(3), 1.0, False, {}), r"ValueError: not enough values to unpack \(expected 5, got 4\)"),
        (RuntimeError("the cable is out"), r"RuntimeError: the cable is out \(.*gym_environments.py:\d+\)"),
        (KeyError("foot"), r"KeyError: 'foot' \(.*gym_environments.py:\d+\)"),
    ],
    ids=str,
)
def test_what_a_step_may_not_give_is_named_in_an_evaluation(given, expected, made):
    message = rf"^test/Any-v0, evaluation episode 0, step 2: {expected}.*; mend the environment; .*check_env"
    with pytest.raises(BadStepError, match=message):
        evaluate(made(bad={3: given}), Still(), episodes=2, seed=0)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({0: np.full(3, np.inf)}, r"observation\[0\] is inf"),
        ({0: np.zeros(2)}, "observation has 2 values, expected 3"),
        (np.zeros(3), r"it must return \(observation, info\)"),
        (ValueError("no ground"), r"ValueError: no ground \(.*gym_environments.py:\d+\)"),
    ],
    ids=str,
)
def test_what_a_reset_may_not_give_is_named(given, expected, made):
    with pytest.raises(BadStepError, match=rf"evaluation episode 0, reset: {expected}"):
        made(bad={0: given}).reset()


def test_an_environment_that_does_not_close_is_named(made):
    def close():
        raise OSError("still in use")

    environment = made(attributes={"close": close})
    with pytest.raises(BadStepError, match=r"evaluation episode -1, close: OSError: still in use \(.*:\d+\); mend"):
        environment.close()


def test_numbers_of_other_types_are_taken(made):
    given = {1: np.array([2.5]), 2: np.array([1]), 3: np.False_, 4: {"is_success": np.array([False])}}
    environment = made(bad={1: given, 2: {1: True}})
    environment.reset()
    _, *first = environment.step(ACTION)
    assert first == [2.5, True, False, False]
    assert environment.step(ACTION).reward == 1.0


def test_a_policy_that_gives_no_number_is_not_the_environments_fault(made):
    environment = made()
    environment.reset()
    with pytest.raises(BadStepError, match=r"step 0: action of the policy\[1\] is nan.*scale observations"):
        environment.step(np.array([0, np.nan], dtype=np.float32))


# --- what it says of itself -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "attributes",
    [
        {"symmetries": "C3", "relabelling": True, "robot_time_s": lambda: 3.0},
        {"symmetries": (["x"], [1]), "relabelling": {"goal": 1}, "robot_time_s": None},
        {"symmetries": np.eye(3), "relabelling": ["goal"], "robot_time_s": float("nan")},
    ],
)
def test_attributes_that_only_have_the_name_are_not_taken(attributes, made):
    made(attributes=attributes)
    own = {"sac.hidden_sizes": [8], "sac.batch_size": 2, "sac.symmetry_augmentation": True}
    values = {"env_id": "test/Any-v0", "steps": 1, "sac.target_relabelling": True, **own}
    training = GymTraining(from_mapping(GymSettings, values))
    assert training._learner._symmetries is None and training._learner._relabelling is None
    for name in ("symmetries", "relabelling"):
        assert any(f"'{name}' of test/Any-v0 is not used: it is a" in note for note in training.notes)
    training.step()
    assert "robot_time_s" not in training.result()


def test_symmetries_that_do_not_fit_are_refused(made):
    with pytest.raises(GymEnvironmentError, match="'test/Any-v0': symmetries of the observation hold 2 numbers"):
        made(attributes={"symmetries": ([1, 2], [1])}).symmetries()
