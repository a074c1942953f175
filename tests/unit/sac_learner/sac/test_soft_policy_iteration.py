import math

import numpy as np
import pytest
import torch
from sac_learner.sac.soft_policy_iteration import (
    FiniteProblem,
    constrained_optimum,
    entropy,
    evaluate_policy,
    expected_entropy,
    improve_policy,
    soft_backup,
    soft_policy_iteration,
    soft_value,
)

SEEDS = range(12)


def random_problem(seed):
    """A problem of random size, its temperature and a generator for what else is random; some transitions are sure."""
    rng = np.random.default_rng(seed)
    states, actions = int(rng.integers(2, 7)), int(rng.integers(2, 5))
    transition = rng.dirichlet(np.full(states, 0.5), (states, actions))
    transition[0, 0] = np.eye(states)[-1]
    reward = rng.uniform(0.5, 5.0) * rng.standard_normal((states, actions))
    discount = float(rng.choice([0.0, 0.5, 0.9, 0.97]))
    return FiniteProblem(transition, reward, discount), float(rng.choice([0.05, 0.3, 2.0])), rng


def random_policy(problem, rng):
    return rng.dirichlet(np.full(problem.actions, rng.choice([0.1, 1.0, 10.0])), problem.states)


def rolled_out_objective(problem, policy, alpha):
    """sum_t discount^t E[r + alpha entropy] from each state, by stepping the distribution of states through time."""
    bonus = -alpha * np.where(policy > 0, policy * np.log(np.maximum(policy, 1e-300)), 0.0).sum(axis=1)
    gain = (policy * problem.reward).sum(axis=1) + bonus
    occupied, total = np.eye(problem.states), np.zeros(problem.states)
    for t in range(1500):
        total += problem.discount**t * occupied @ gain
        occupied = np.stack([sum(p[s] * policy[s] @ problem.transition[s] for s in range(len(p))) for p in occupied])
        if problem.discount ** (t + 1) * np.abs(gain).max() < 1e-13:
            break
    return total


def optimal_value_by_log_sum_exp(problem, alpha):
    """V*(s) = alpha log sum_a exp(Q*(s,a) / alpha), iterated: the optimum without any policy in between."""
    value = np.zeros(problem.states)
    for _ in range(2000):
        new = np.empty_like(value)
        for s in range(problem.states):
            scores = [
                (problem.reward[s, a] + problem.discount * problem.transition[s, a] @ value) / alpha
                for a in range(problem.actions)
            ]
            new[s] = alpha * np.logaddexp.reduce(scores)
        if np.abs(new - value).max() < 1e-13:
            break
        value = new
    return value


def best_policy_by_gradient(problem, alpha):
    """The policy whose softmax logits maximise the mean objective over all start states: no Q function, no backup."""
    transition, reward = torch.from_numpy(problem.transition), torch.from_numpy(problem.reward)
    logits = torch.zeros(problem.reward.shape, dtype=torch.float64, requires_grad=True)
    limits = {"max_iter": 3000, "tolerance_grad": 1e-10, "tolerance_change": 1e-16}
    optimiser = torch.optim.LBFGS([logits], line_search_fn="strong_wolfe", **limits)

    def loss():
        optimiser.zero_grad()
        log_policy = logits.log_softmax(dim=1)
        policy = log_policy.exp()
        gain = (policy * (reward - alpha * log_policy)).sum(dim=1)
        step = torch.einsum("sa,sat->st", policy, transition)
        value = torch.linalg.solve(torch.eye(len(gain), dtype=torch.float64) - problem.discount * step, gain)
        (-value.mean()).backward()
        return -value.mean()

    optimiser.step(loss)
    return logits.softmax(dim=1).detach().numpy()


# --- Lemma 1 ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_backup_brings_any_two_q_functions_closer_by_the_discount(seed):
    problem, alpha, rng = random_problem(seed)
    for _ in range(20):
        policy = random_policy(problem, rng)
        first, second = (rng.choice([0.1, 1e3]) * rng.standard_normal(problem.reward.shape) for _ in range(2))
        before = np.abs(first - second).max()
        after = np.abs(soft_backup(problem, first, policy, alpha) - soft_backup(problem, second, policy, alpha)).max()
        assert after <= problem.discount * before + 1e-12 * before


def test_contraction_factor_is_exactly_the_discount_for_a_constant_difference():
    problem, alpha, rng = random_problem(3)
    policy, q = random_policy(problem, rng), rng.standard_normal(problem.reward.shape)
    difference = soft_backup(problem, q + 7.0, policy, alpha) - soft_backup(problem, q, policy, alpha)
    np.testing.assert_allclose(difference, 7.0 * problem.discount)


@pytest.mark.parametrize("seed", SEEDS)
def test_repeated_backups_end_at_the_soft_q_function_from_any_start(seed):
    problem, alpha, rng = random_problem(seed)
    policy = random_policy(problem, rng)
    expected = evaluate_policy(problem, policy, alpha)
    q = 100.0 * rng.standard_normal(problem.reward.shape)
    distance = np.abs(q - expected).max()
    for k in range(1, 200):
        q = soft_backup(problem, q, policy, alpha)
        assert np.abs(q - expected).max() <= problem.discount**k * distance + 1e-9
    by_time = problem.reward + problem.discount * problem.transition @ rolled_out_objective(problem, policy, alpha)
    np.testing.assert_allclose(expected, by_time, atol=1e-8)


def test_value_by_hand_and_action_of_probability_zero():
    q, policy = np.array([[1.0, 3.0], [2.0, -9.0]]), np.array([[0.25, 0.75], [1.0, 0.0]])
    by_hand = 0.25 * (1.0 - 0.5 * math.log(0.25)) + 0.75 * (3.0 - 0.5 * math.log(0.75))
    np.testing.assert_allclose(soft_value(q, policy, 0.5), [by_hand, 2.0])
    np.testing.assert_allclose(entropy(np.array([[0.5, 0.5], [1.0, 0.0]])), [math.log(2.0), 0.0])


# --- Lemma 2 ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_improvement_is_nowhere_worse(seed):
    problem, alpha, rng = random_problem(seed)
    grew = False
    for _ in range(10):
        policy = random_policy(problem, rng)
        old = evaluate_policy(problem, policy, alpha)
        new = evaluate_policy(problem, improve_policy(old, alpha), alpha)
        assert (new >= old - 1e-10 * np.abs(old).max()).all()
        grew |= bool((new > old + 1e-3).any())
    assert grew == (problem.discount > 0.0), "without a future Q is the reward, whatever the policy"


def test_improved_policy_is_the_nearest_to_the_exponential_of_q():
    """Equation 4: no other distribution has a smaller divergence, and at the best one it is zero."""
    rng = np.random.default_rng(0)
    q, alpha = rng.standard_normal((1, 4)), 0.7
    density = np.exp(q / alpha) / np.exp(q / alpha).sum()

    def divergence(policy):
        return (policy * np.log(policy / density)).sum()

    assert divergence(improve_policy(q, alpha)) == pytest.approx(0.0, abs=1e-14)
    assert min(divergence(rng.dirichlet(np.ones(4), 1)) for _ in range(2000)) > 0.0


def test_improvement_neither_overflows_nor_divides_by_zero():
    policy = improve_policy(np.array([[1e6, -1e6], [1e6, 1e6]]), 1e-6)
    np.testing.assert_allclose(policy, [[1.0, 0.0], [0.5, 0.5]])


# --- Theorem 1 ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_iteration_ends_at_the_optimum_that_log_sum_exp_iteration_finds(seed):
    problem, alpha, rng = random_problem(seed)
    value = optimal_value_by_log_sum_exp(problem, alpha)
    expected = problem.reward + problem.discount * problem.transition @ value
    for start in (None, random_policy(problem, rng), np.eye(problem.actions)[np.zeros(problem.states, dtype=int)]):
        solution = soft_policy_iteration(problem, alpha, policy=start)
        np.testing.assert_allclose(solution.q, expected, atol=2e-8)
        np.testing.assert_allclose(soft_value(solution.q, solution.policy, alpha), value, atol=2e-8)
        assert solution.rounds < 60


@pytest.mark.parametrize("seed", SEEDS)
def test_iteration_ends_at_the_optimum_that_gradient_ascent_finds(seed):
    problem, alpha, _ = random_problem(seed)
    alpha = max(alpha, 0.3)
    best = best_policy_by_gradient(problem, alpha)
    solution = soft_policy_iteration(problem, alpha)
    reached, found = (rolled_out_objective(problem, p, alpha) for p in (solution.policy, best))
    # Not exact: the ascent is slow where an action's probability is almost 0.
    np.testing.assert_allclose(reached, found, rtol=1e-5, atol=2e-5)
    assert reached.mean() >= found.mean() - 1e-10
    np.testing.assert_allclose(solution.policy, best, atol=1e-3)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_random_policy_beats_it_in_any_state(seed):
    problem, alpha, rng = random_problem(seed)
    optimum = soft_policy_iteration(problem, alpha)
    best = soft_value(optimum.q, optimum.policy, alpha)
    for _ in range(300):
        mix = rng.choice([1.0, 0.1, 0.001])
        policy = (1.0 - mix) * optimum.policy + mix * random_policy(problem, rng)
        q = evaluate_policy(problem, policy, alpha)
        assert (soft_value(q, policy, alpha) <= best + 1e-8).all()
        assert (q <= optimum.q + 1e-8).all()


def test_low_temperature_ends_at_the_greedy_optimum_and_a_high_one_at_uniform():
    problem, _, _ = random_problem(2)
    value = np.zeros(problem.states)
    for _ in range(3000):
        value = (problem.reward + problem.discount * problem.transition @ value).max(axis=1)
    np.testing.assert_allclose(soft_policy_iteration(problem, 1e-5).q.max(axis=1), value, atol=1e-3)
    np.testing.assert_allclose(soft_policy_iteration(problem, 1e7).policy, 1.0 / problem.actions, atol=1e-4)


# --- temperature --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("share", [0.3, 0.8])
def test_temperature_meets_the_entropy_constraint_from_above_and_below(seed, share):
    problem, _, rng = random_problem(seed)
    start, target = rng.dirichlet(np.ones(problem.states)), share * math.log(problem.actions)
    found = [constrained_optimum(problem, target, start, initial_alpha=alpha) for alpha in (1e-3, 50.0)]
    for one in found:
        assert one.entropy == pytest.approx(target, abs=2e-6)
        assert one.entropy == expected_entropy(problem, one.policy, start)
        np.testing.assert_allclose(one.policy, soft_policy_iteration(problem, one.alpha).policy, atol=1e-5)
    assert found[0].alpha == pytest.approx(found[1].alpha, rel=1e-3)


@pytest.mark.parametrize("seed", [0, 4, 7])
def test_no_policy_with_this_entropy_has_a_larger_return(seed):
    problem, _, rng = random_problem(seed)
    start, target = rng.dirichlet(np.ones(problem.states)), 0.5 * math.log(problem.actions)
    found = constrained_optimum(problem, target, start)
    reached = start @ rolled_out_objective(problem, found.policy, 0.0)
    tried = 0
    for _ in range(3000):
        mix = rng.choice([1.0, 0.3, 0.03])
        policy = (1.0 - mix) * found.policy + mix * random_policy(problem, rng)
        if expected_entropy(problem, policy, start) < target:
            continue
        tried += 1
        value = np.linalg.solve(
            np.eye(problem.states) - problem.discount * np.einsum("sa,sat->st", policy, problem.transition),
            (policy * problem.reward).sum(axis=1),
        )
        assert start @ value <= reached + 1e-4
    assert tried > 300


def test_entropy_of_the_optimal_policy_grows_with_the_temperature():
    """What makes the dual convex: its derivative in alpha is this entropy less the target."""
    problem, _, rng = random_problem(5)
    start = rng.dirichlet(np.ones(problem.states))
    alphas = np.geomspace(1e-3, 1e3, 40)
    policies = [soft_policy_iteration(problem, alpha, tolerance=1e-6).policy for alpha in alphas]
    entropies = [expected_entropy(problem, policy, start) for policy in policies]
    assert (np.diff(entropies) >= -1e-9).all()

    def dual(alpha):
        optimum = soft_policy_iteration(problem, alpha)
        return (1 - problem.discount) * start @ soft_value(optimum.q, optimum.policy, alpha) - alpha * 0.4

    slope = (dual(0.5 + 1e-4) - dual(0.5 - 1e-4)) / 2e-4
    policy = soft_policy_iteration(problem, 0.5).policy
    assert slope == pytest.approx(expected_entropy(problem, policy, start) - 0.4, abs=1e-5)


def test_temperature_vanishes_where_the_constraint_is_slack():
    problem, _, _ = random_problem(1)
    start = np.full(problem.states, 1.0 / problem.states)
    slack = constrained_optimum(problem, -0.1, start, minimum_alpha=1e-4)
    assert slack.alpha == pytest.approx(1e-4)
    assert slack.entropy >= -0.1
    # Where all actions are equally good the uniform policy is optimal at any temperature.
    alike = np.broadcast_to(problem.transition[:, :1], problem.transition.shape)
    indifferent = FiniteProblem(alike, np.zeros(problem.reward.shape), 0.9)
    assert constrained_optimum(indifferent, 0.9 * math.log(problem.actions), start).alpha == pytest.approx(1e-6)


# --- bad input ----------------------------------------------------------------------------------------------------

GOOD = {"transition": np.full((2, 3, 2), 0.5), "reward": np.zeros((2, 3)), "discount": 0.9}


def spoilt(table, where, value):
    table = np.array(table)
    table[where] = value
    return table


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"transition": spoilt(GOOD["transition"], (1, 2, 0), 0.4)}, r"transition\[1, 2\] adds up to 0.9, expected 1"),
        (
            {"transition": spoilt(GOOD["transition"], (0, 1), [1.5, -0.5])},
            r"transition\[0, 1, 1\] is -0.5: .*at least 0",
        ),
        ({"transition": spoilt(GOOD["transition"], (0, 1, 0), np.nan)}, r"transition\[0, 1, 0\] is nan"),
        ({"transition": spoilt(GOOD["transition"], (0, 1, 0), np.inf)}, r"transition\[0, 1, 0\] is inf"),
        ({"transition": np.full((2, 3, 4), 0.25)}, r"transition has shape \(2, 3, 4\), expected \[S, A, S\]"),
        ({"transition": np.full((2, 2), 0.5)}, r"transition has shape \(2, 2\)"),
        ({"transition": np.zeros((0, 3, 0))}, "at least one state"),
        ({"reward": np.zeros((3, 2))}, r"reward has shape \(3, 2\), expected \(2, 3\)"),
        ({"reward": spoilt(GOOD["reward"], (1, 2), np.nan)}, r"reward\[1, 2\] is nan: .*finite"),
        ({"reward": spoilt(GOOD["reward"], (0, 0), -np.inf)}, r"reward\[0, 0\] is -inf"),
        ({"discount": 1.0}, "discount is 1.0, expected 0 <= discount < 1"),
        ({"discount": -0.1}, "discount is -0.1"),
        ({"discount": math.nan}, "discount is nan"),
    ],
)
def test_impossible_problem_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        FiniteProblem(**{**GOOD, **change})


UNIFORM = np.full((2, 3), 1.0 / 3.0)
START = np.array([0.5, 0.5])


@pytest.mark.parametrize("alpha", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize(
    "call",
    [
        lambda problem, alpha: soft_backup(problem, UNIFORM, UNIFORM, alpha),
        lambda problem, alpha: evaluate_policy(problem, UNIFORM, alpha),
        lambda problem, alpha: improve_policy(UNIFORM, alpha),
        lambda problem, alpha: soft_policy_iteration(problem, alpha),
        lambda problem, alpha: constrained_optimum(problem, 0.5, START, initial_alpha=alpha),
    ],
)
def test_impossible_temperature_is_refused(call, alpha):
    with pytest.raises(ValueError, match=f"alpha is {alpha}, expected a number above 0"):
        call(FiniteProblem(**GOOD), alpha)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (np.full((3, 2), 0.5), r"policy has shape \(3, 2\), expected \(2, 3\)"),
        (spoilt(UNIFORM, (0, 1), 0.5), r"policy\[0\] adds up to 1.1666.*divide it by its sum"),
        (spoilt(UNIFORM, 1, [1.2, -0.2, 0.0]), r"policy\[1, 1\] is -0.2"),
        (spoilt(UNIFORM, (1, 0), np.nan), r"policy\[1, 0\] is nan"),
    ],
)
def test_impossible_policy_is_refused(policy, message):
    problem = FiniteProblem(**GOOD)
    for call in (
        lambda: soft_backup(problem, UNIFORM, policy, 0.1),
        lambda: evaluate_policy(problem, policy, 0.1),
        lambda: soft_policy_iteration(problem, 0.1, policy=policy),
        lambda: expected_entropy(problem, policy, START),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize(
    ("q", "message"),
    [
        (np.zeros((3, 2)), r"q has shape \(3, 2\)"),
        (spoilt(UNIFORM, (1, 1), np.nan), r"q\[1, 1\] is nan"),
        (np.zeros(3), r"q has shape \(3,\)"),
    ],
)
def test_impossible_q_function_is_refused(q, message):
    with pytest.raises(ValueError, match=message):
        soft_backup(FiniteProblem(**GOOD), q, UNIFORM, 0.1)
    if q.shape != (3, 2):
        with pytest.raises(ValueError, match=message):
            improve_policy(q, 0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target_entropy": math.log(3.0)}, r"target_entropy is 1.098.*below log 3 = 1.09861.*lower it"),
        ({"target_entropy": math.nan}, "target_entropy is nan"),
        ({"start": np.array([0.5, 0.4])}, "start.* adds up to 0.9"),
        ({"start": np.array([1.0])}, r"start has shape \(1,\), expected \(2,\)"),
        ({"tolerance": 0.0}, "tolerance is 0.0"),
        ({"minimum_alpha": 2.0}, r"minimum_alpha is 2.0, expected between 0 and initial_alpha \(1.0\)"),
        ({"minimum_alpha": 0.0}, "minimum_alpha is 0.0"),
    ],
)
def test_impossible_constraint_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        constrained_optimum(FiniteProblem(**GOOD), **{"target_entropy": 0.5, "start": START, **change})


def test_tolerance_that_double_precision_cannot_reach_is_a_clear_error(monkeypatch):
    problem, alpha, _ = random_problem(0)
    with pytest.raises(ValueError, match="tolerance is 0"):
        soft_policy_iteration(problem, alpha, tolerance=0)
    monkeypatch.setattr("sac_learner.sac.soft_policy_iteration._MAX_ROUNDS", 1)
    with pytest.raises(RuntimeError, match="raise the tolerance"):
        soft_policy_iteration(random_problem(3)[0], 0.05)
    with pytest.raises(RuntimeError, match="the entropy is .*, the target 0.3"):
        constrained_optimum(FiniteProblem(GOOD["transition"], np.arange(6.0).reshape(2, 3), 0.0), 0.3, START)
