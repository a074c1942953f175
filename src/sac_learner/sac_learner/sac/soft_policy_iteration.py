"""Soft policy iteration on a finite problem with known dynamics: the theory behind Soft Actor-Critic, without networks.

Section 4.1 of arXiv 1812.05905 (equations 2 to 4, Lemmas 1 and 2, Theorem 1) and the dual problem of its section 5.
`sac/` does the same with networks and drawn transitions. NumPy only; S states, A actions, natural logarithms.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# How far the sum of probabilities may be from 1: rounding of single precision.
_SUM_TOLERANCE = 1e-6
_MAX_ROUNDS = 10_000


@dataclasses.dataclass(frozen=True)
class FiniteProblem:
    """A Markov decision process without end; a terminated episode is a state that leads to itself with reward 0.

    Raises:
        ValueError: a shape or value is impossible; the message names it, the limit and what to do.
    """

    transition: Array  # [S, A, S], probability of the next state
    reward: Array  # [S, A], expected reward of one step
    discount: float  # in [0, 1), per step

    def __post_init__(self) -> None:
        for name in ("transition", "reward"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        shape = self.transition.shape
        if len(shape) != 3 or shape[0] != shape[2] or not self.transition.size:
            raise ValueError(f"transition has shape {shape}, expected [S, A, S] with at least one state and action")
        _check_table("reward", self.reward, shape[:2])
        _check_probabilities("transition", self.transition)
        if not 0.0 <= self.discount < 1.0:
            raise ValueError(
                f"discount is {self.discount}, expected 0 <= discount < 1: without an end the return has no bound at 1"
            )

    @property
    def states(self) -> int:
        """S."""
        return self.reward.shape[0]

    @property
    def actions(self) -> int:
        """A."""
        return self.reward.shape[1]


@dataclasses.dataclass(frozen=True)
class Solution:
    """The optimum of the maximum-entropy objective at one temperature."""

    policy: Array  # [S, A], probabilities
    q: Array  # [S, A], its soft Q function [reward]
    rounds: int  # of evaluation and improvement, or of the temperature


@dataclasses.dataclass(frozen=True)
class ConstrainedSolution(Solution):
    """The best policy with at least a given expected entropy, and the temperature that enforces it."""

    alpha: float  # [reward / nat]
    entropy: float  # expected entropy of the policy [nat]


def entropy(policy: Array) -> Array:
    """Entropy of the policy in each state: [S, A] -> [S], nat. An action of probability 0 adds nothing."""
    return -(policy * np.log(np.where(policy > 0.0, policy, 1.0))).sum(axis=1)


def soft_value(q: Array, policy: Array, alpha: float) -> Array:
    """Equation 3: V(s) = sum_a pi(a|s) (Q(s,a) - alpha log pi(a|s)). q and policy [S, A], alpha > 0 -> [S]."""
    return (policy * q).sum(axis=1) + alpha * entropy(policy)


def soft_backup(problem: FiniteProblem, q: Array, policy: Array, alpha: float) -> Array:
    """Equation 2, one step of soft policy evaluation: r(s,a) + discount * E[V(s')]. q [S, A] -> [S, A].

    In the maximum norm it brings any two q closer by the factor `discount`, which proves Lemma 1.

    Raises:
        ValueError: q, policy or alpha is impossible.
    """
    _check_table("q", q, problem.reward.shape)
    _check_policy(problem, policy)
    _check_alpha(alpha)
    return problem.reward + problem.discount * problem.transition @ soft_value(q, policy, alpha)


def evaluate_policy(problem: FiniteProblem, policy: Array, alpha: float) -> Array:
    """The soft Q function of a policy [S, A]: where endless soft backups end up, from any start (Lemma 1).

    Solved as the linear system V = r_pi + alpha * entropy + discount * P_pi V, so no iteration has to be stopped.

    Raises:
        ValueError: policy or alpha is impossible.
    """
    _check_policy(problem, policy)
    _check_alpha(alpha)
    step = np.einsum("sa,sat->st", policy, problem.transition)
    gain = soft_value(problem.reward, policy, alpha)
    value = np.linalg.solve(np.eye(problem.states) - problem.discount * step, gain)
    return problem.reward + problem.discount * problem.transition @ value


def improve_policy(q: Array, alpha: float) -> Array:
    """Equation 4: exp(Q(s,.) / alpha) / Z(s), [S, A] -> [S, A].

    Among all distributions the one nearest to exp(Q / alpha) in the Kullback-Leibler divergence is itself. Its soft Q
    function is nowhere smaller than that of the policy which q belongs to (Lemma 2).

    Raises:
        ValueError: q is not a table of finite numbers, or alpha is not above 0.
    """
    _check_table("q", q, np.shape(q)[:2] if np.ndim(q) == 2 else ("S", "A"))
    _check_alpha(alpha)
    # The largest exponent is 0, so exp cannot overflow.
    weights = np.exp((q - q.max(axis=1, keepdims=True)) / alpha)
    return weights / weights.sum(axis=1, keepdims=True)


def soft_policy_iteration(
    problem: FiniteProblem, alpha: float, *, policy: Array | None = None, tolerance: float = 1e-8
) -> Solution:
    """Theorem 1: evaluation and improvement in turn end at the optimum of the maximum-entropy objective.

    Args:
        problem: the finite problem.
        alpha: temperature [reward / nat], above 0.
        policy: where to start [S, A]; uniform if None. The end does not depend on it.
        tolerance: the soft Q function returned is nowhere further from the optimal one [reward].

    Raises:
        ValueError: policy, alpha or tolerance is impossible.
        RuntimeError: the tolerance is finer than double precision can show on this problem.
    """
    _check_tolerance(tolerance)
    start = np.full(problem.reward.shape, 1.0 / problem.actions) if policy is None else policy
    q = evaluate_policy(problem, start, alpha)
    for rounds in range(1, _MAX_ROUNDS + 1):
        improved = improve_policy(q, alpha)
        old, q = q, evaluate_policy(problem, improved, alpha)
        # A round shrinks the distance to the optimum at least by the factor `discount`, so the change bounds the rest.
        if problem.discount * np.abs(q - old).max() <= (1.0 - problem.discount) * tolerance:
            return Solution(improved, q, rounds)
    raise RuntimeError(
        f"soft policy iteration came no nearer than {np.abs(q - old).max():.3g} per round, tolerance {tolerance}: "
        "raise the tolerance or scale the reward down"
    )


def expected_entropy(problem: FiniteProblem, policy: Array, start: Array) -> float:
    """Entropy of the policy in the states that it visits, a step in the future weighted by discount^t [nat].

    Args:
        problem: the finite problem.
        policy: [S, A].
        start: probability of the first state [S].

    Raises:
        ValueError: policy or start is impossible.
    """
    _check_policy(problem, policy)
    _check_start(problem, start)
    step = np.einsum("sa,sat->st", policy, problem.transition)
    visits = np.linalg.solve(np.eye(problem.states) - problem.discount * step.T, (1.0 - problem.discount) * start)
    return float(visits @ entropy(policy))


def constrained_optimum(
    problem: FiniteProblem,
    target_entropy: float,
    start: Array,
    *,
    initial_alpha: float = 1.0,
    tolerance: float = 1e-6,
    minimum_alpha: float = 1e-6,
) -> ConstrainedSolution:
    """Section 5: the largest return under the constraint that the expected entropy is at least a target.

    The temperature is the constraint's dual variable. For a given alpha the inner maximum is soft policy iteration
    (equation 16); the outer one, a minimum over alpha (equation 17), has the derivative entropy - target_entropy up to
    a positive factor and is found by steps down that derivative in log alpha, as the learner does. The paper has one
    alpha for each time step; without a last step one alpha is left, and the constraint is on `expected_entropy`.

    Args:
        problem: the finite problem.
        target_entropy: [nat], below log A; 0 or less never binds.
        start: probability of the first state [S].
        initial_alpha: first temperature, above minimum_alpha.
        tolerance: how near to the target the entropy has to come [nat].
        minimum_alpha: temperature that counts as 0 [reward / nat]; returned when the constraint is slack even there.

    Raises:
        ValueError: an argument is impossible, or no policy can have this entropy.
        RuntimeError: the tolerance is too fine for double precision, or the target too near to log A.
    """
    _check_constraint(problem, target_entropy, start, initial_alpha, tolerance, minimum_alpha)
    log_alpha, lowest, rate, last_excess = math.log(initial_alpha), math.log(minimum_alpha), 1.0, 0.0
    policy = None
    for rounds in range(1, _MAX_ROUNDS + 1):
        alpha = math.exp(log_alpha)
        solution = soft_policy_iteration(problem, alpha, policy=policy, tolerance=1e-9 * _scale(problem, alpha))
        policy = solution.policy
        reached = expected_entropy(problem, policy, start)
        excess = reached - target_entropy
        if abs(excess) <= tolerance or (excess > 0.0 and log_alpha <= lowest):
            return ConstrainedSolution(policy, solution.q, rounds, alpha, reached)
        # The derivative only grows with alpha: halving after each change of sign is enough to end at its zero.
        rate = 0.5 * rate if excess * last_excess < 0.0 else 1.2 * rate
        change = min(1.0, max(-1.0, rate * excess))
        log_alpha, last_excess = max(lowest, log_alpha - change), excess
    raise RuntimeError(
        f"the entropy is {reached} at alpha {alpha}, the target {target_entropy}, tolerance {tolerance}: raise the "
        "tolerance or lower the target"
    )


def _scale(problem: FiniteProblem, alpha: float) -> float:
    """The order of size of the problem's Q function: double precision is relative to it."""
    return (np.abs(problem.reward).max() + alpha * math.log(problem.actions) + 1.0) / (1.0 - problem.discount)


def _check_table(name: str, table: Array, shape: tuple[int | str, ...]) -> None:
    if np.shape(table) != shape:
        raise ValueError(f"{name} has shape {np.shape(table)}, expected {shape}: one number per state and action")
    if not np.isfinite(table).all():
        where = tuple(np.argwhere(~np.isfinite(table))[0].tolist())
        raise ValueError(f"{name}{list(where)} is {table[where]}: every entry has to be a finite number")


def _check_probabilities(name: str, table: Array) -> None:
    if not (np.isfinite(table) & (table >= 0.0)).all():
        where = tuple(np.argwhere(~(table >= 0.0) | ~np.isfinite(table))[0].tolist())
        raise ValueError(f"{name}{list(where)} is {table[where]}: a probability has to be a number of at least 0")
    sums = table.sum(axis=-1)
    if not (np.abs(sums - 1.0) <= _SUM_TOLERANCE).all():
        where = tuple(np.argwhere(np.abs(sums - 1.0) > _SUM_TOLERANCE)[0].tolist())
        raise ValueError(
            f"{name}{list(where)} adds up to {sums[where]}, expected 1 within {_SUM_TOLERANCE}: divide it by its sum"
        )


def _check_policy(problem: FiniteProblem, policy: Array) -> None:
    if np.shape(policy) != problem.reward.shape:
        raise ValueError(f"policy has shape {np.shape(policy)}, expected {problem.reward.shape}: [states, actions]")
    _check_probabilities("policy", policy)


def _check_start(problem: FiniteProblem, start: Array) -> None:
    if np.shape(start) != (problem.states,):
        raise ValueError(f"start has shape {np.shape(start)}, expected {(problem.states,)}: one number per state")
    _check_probabilities("start", start)


def _check_alpha(alpha: float) -> None:
    if not 0.0 < alpha < math.inf:
        raise ValueError(f"alpha is {alpha}, expected a number above 0: for no entropy bonus choose a small one")


def _check_tolerance(tolerance: float) -> None:
    if not 0.0 < tolerance < math.inf:
        raise ValueError(f"tolerance is {tolerance}, expected a number above 0: 1e-8 is a fine one")


def _check_constraint(
    problem: FiniteProblem, target: float, start: Array, initial_alpha: float, tolerance: float, minimum_alpha: float
) -> None:
    _check_start(problem, start)
    _check_alpha(initial_alpha)
    _check_tolerance(tolerance)
    if not 0.0 < minimum_alpha < initial_alpha:
        raise ValueError(f"minimum_alpha is {minimum_alpha}, expected between 0 and initial_alpha ({initial_alpha})")
    highest = math.log(problem.actions)
    if not (math.isfinite(target) and (target < highest or target <= 0.0)):
        raise ValueError(
            f"target_entropy is {target}, expected a number below log {problem.actions} = {highest:.6g}, the entropy "
            "of the uniform policy: lower it"
        )
