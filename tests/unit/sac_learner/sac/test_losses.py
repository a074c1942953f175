import numpy as np
import pytest
import torch
from helpers.learning import ACTION_SIZE, OBSERVATION_SIZE, learner_settings, make_transition
from rosac_common.transition import EndReason
from sac_learner.learning.replay import ReplayBuffer, row, rows
from sac_learner.sac.actor import actor_loss
from sac_learner.sac.critic import critic_loss, critic_target, smooth
from sac_learner.sac.learner import SacLearner
from sac_learner.sac.temperature import temperature_loss

RNG = np.random.default_rng(0)
BATCH = 6


def drawn(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape)


def test_critic_target_by_hand():
    reward, next_q, next_log_prob = drawn(BATCH), drawn(2, BATCH), drawn(BATCH)
    bootstrap = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 1.0])
    got = critic_target(
        torch.tensor(reward),
        torch.tensor(bootstrap),
        torch.tensor(next_q),
        torch.tensor(next_log_prob),
        torch.tensor(0.3),
        discount=0.9,
        reward_scale=5.0,
    )
    for i in range(BATCH):
        soft_value = min(next_q[0, i], next_q[1, i]) - 0.3 * next_log_prob[i]
        assert got[i].item() == pytest.approx(5.0 * reward[i] + 0.9 * bootstrap[i] * soft_value, rel=1e-6)


def stored_batch(end_reason, from_log):
    """One transition as it comes out of the replay memory, taken up on arrival or read back from the replay log."""
    transition = make_transition(4, end_reason=end_reason)
    buffer = ReplayBuffer(4, OBSERVATION_SIZE, ACTION_SIZE)
    if from_log:
        vectors = (transition.observation, transition.executed_action, transition.next_observation)
        reason = np.array([int(end_reason)], dtype=np.uint8)
        buffer.extend(rows(*(vector[None] for vector in vectors), np.float32([transition.reward]), reason))
    else:
        buffer.add(row(transition))
    return transition, buffer.sample(BATCH, np.random.default_rng(0))


@pytest.mark.parametrize("from_log", [False, True])
@pytest.mark.parametrize("end_reason", list(EndReason))
def test_every_end_reason_reaches_the_critic_target_and_only_terminated_cuts_it(end_reason, from_log):
    transition, batch = stored_batch(end_reason, from_log)
    next_q, next_log_prob = torch.full((2, BATCH), 3.0), torch.full((BATCH,), -2.0)
    reward, bootstrap = torch.from_numpy(batch.reward), torch.from_numpy(batch.bootstrap)
    target = critic_target(reward, bootstrap, next_q, next_log_prob, torch.tensor(0.5), discount=0.9, reward_scale=1.0)
    future = {EndReason.TERMINATED: 0.0}.get(end_reason, 0.9 * (3.0 + 0.5 * 2.0))
    assert target.tolist() == pytest.approx([transition.reward + future] * BATCH)


def test_the_learner_trains_on_that_target_for_every_end_reason(tmp_path):
    settings = learner_settings(tmp_path).sac
    losses = {}
    for end_reason in EndReason:
        learner = SacLearner(settings, OBSERVATION_SIZE, ACTION_SIZE, seed=0)
        transition, batch = stored_batch(end_reason, from_log=False)
        with torch.no_grad():
            q = learner.critic(torch.from_numpy(batch.observation), torch.from_numpy(batch.action))[:, 0].tolist()
        losses[end_reason] = learner.update(batch)["critic_loss"].item()
    assert losses.pop(EndReason.TERMINATED) == pytest.approx(sum(0.5 * (x - transition.reward) ** 2 for x in q))
    assert len(losses) == 6
    assert len(set(losses.values())) == 1, "the same transition, whatever else ended the episode"
    assert losses[EndReason.NONE] != pytest.approx(sum(0.5 * (x - transition.reward) ** 2 for x in q), rel=1e-2)


def test_critic_loss_is_half_the_mean_squared_error_of_each_critic():
    q, target = drawn(2, BATCH), drawn(BATCH)
    expected = sum(0.5 * np.mean((q[i] - target) ** 2) for i in range(2))
    assert critic_loss(torch.tensor(q), torch.tensor(target)).item() == pytest.approx(expected)


def test_actor_loss_takes_the_smaller_critic():
    q, log_prob = drawn(2, BATCH), drawn(BATCH)
    expected = np.mean([0.7 * log_prob[i] - min(q[:, i]) for i in range(BATCH)])
    assert actor_loss(torch.tensor(q), torch.tensor(log_prob), torch.tensor(0.7)).item() == pytest.approx(expected)


@pytest.mark.parametrize("variable", ["alpha", "log_alpha"])
@pytest.mark.parametrize(("entropy", "grows"), [(-3.0, True), (1.0, False)])
def test_temperature_grows_while_the_entropy_is_below_its_target(variable, entropy, grows):
    log_alpha = torch.tensor(np.log(0.5), requires_grad=True)
    log_prob = torch.full((BATCH,), -entropy)
    loss = temperature_loss(log_alpha, log_prob, -1.0, variable)
    (gradient,) = torch.autograd.grad(loss, log_alpha)
    assert (-gradient.item() > 0) == grows
    # d/d log_alpha of -alpha (log pi + H) has the factor alpha, of -log_alpha (log pi + H) the factor 1.
    factor = 0.5 if variable == "alpha" else 1.0
    assert gradient.item() == pytest.approx(-factor * (-entropy + -1.0))


def test_targets_are_smoothed():
    target, parameter = torch.tensor([1.0, 2.0]), torch.tensor([3.0, -2.0])
    smooth(target, parameter, 0.25)
    assert target.tolist() == [1.5, 1.0]


def test_losses_refuse_wrong_shapes_instead_of_broadcasting():
    q, vector = torch.zeros(2, BATCH), torch.zeros(BATCH)
    with pytest.raises(AssertionError):
        critic_loss(q, torch.zeros(BATCH, 1))
    with pytest.raises(AssertionError):
        actor_loss(torch.zeros(BATCH, 2), vector, torch.tensor(1.0))
    with pytest.raises(AssertionError):
        critic_target(vector, vector[:, None], q, vector, torch.tensor(1.0), discount=0.9, reward_scale=1.0)
