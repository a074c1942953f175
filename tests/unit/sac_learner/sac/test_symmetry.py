import numpy as np
import pytest
import torch
from sac_learner.sac.gradients import TensorBatch
from sac_learner.sac.symmetry import Symmetries

# Two joints that may change places; the mirrored one also changes the sign of the third number of the observation.
OBSERVATION, ACTION = [1, 2, 3, 2, 1, -3], [1, 2, 2, 1]


def test_each_transition_is_turned_as_a_whole():
    symmetries = Symmetries.from_signed(OBSERVATION, ACTION, 3, 2)
    n = 400
    observation, action = torch.randn(n, 3), torch.randn(n, 2)
    batch = TensorBatch(observation, action, torch.arange(n).float(), observation + 10.0, torch.ones(n))
    turned = symmetries.augment(batch, torch.Generator().manual_seed(0))
    mirrored = (turned.observation[:, 2] != observation[:, 2]).numpy()
    assert 0.4 < mirrored.mean() < 0.6
    swapped = observation.numpy()[:, [1, 0, 2]] * [1, 1, -1]
    np.testing.assert_array_equal(turned.observation[mirrored], swapped[mirrored].astype(np.float32))
    np.testing.assert_array_equal(turned.observation[~mirrored], observation[~mirrored])
    np.testing.assert_array_equal(turned.action[mirrored], action.numpy()[:, [1, 0]][mirrored])
    np.testing.assert_array_equal(turned.action[~mirrored], action[~mirrored])
    next_swapped = (observation.numpy() + 10.0)[:, [1, 0, 2]] * np.array([1, 1, -1], np.float32)
    np.testing.assert_array_equal(turned.next_observation[mirrored], next_swapped[mirrored])
    assert torch.equal(turned.reward, batch.reward)


def test_no_symmetries_are_none():
    assert Symmetries.from_signed([], [], 3, 2) is None


@pytest.mark.parametrize(
    ("observation", "action", "message"),
    [
        ([1, 2], [1, 2], "no multiple of its size 3"),
        ([1, 2, 2], [1, 2], "each of"),
        ([1, 2, 0], [1, 2], "each of"),
        ([1, 2, 3, 2, 1, 3], [1, 2], "2 symmetries of the observation, 1 of the action"),
    ],
)
def test_what_is_no_symmetry_is_refused(observation, action, message):
    with pytest.raises(ValueError, match=message):
        Symmetries.from_signed(observation, action, 3, 2)
