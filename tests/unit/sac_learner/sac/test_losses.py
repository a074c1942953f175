import numpy as np
import pytest
import torch
from sac_learner.sac.actor import actor_loss
from sac_learner.sac.critic import critic_loss, critic_target, smooth_targets
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
    smooth_targets(target, parameter, 0.25)
    assert target.tolist() == [1.5, 1.0]


def test_losses_refuse_wrong_shapes_instead_of_broadcasting():
    q, vector = torch.zeros(2, BATCH), torch.zeros(BATCH)
    with pytest.raises(AssertionError):
        critic_loss(q, torch.zeros(BATCH, 1))
    with pytest.raises(AssertionError):
        actor_loss(torch.zeros(BATCH, 2), vector, torch.tensor(1.0))
    with pytest.raises(AssertionError):
        critic_target(vector, vector[:, None], q, vector, torch.tensor(1.0), discount=0.9, reward_scale=1.0)
