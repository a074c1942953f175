import array

import numpy as np
import pytest
from helpers.learning import make_policy
from sac_learner.policy import PolicyError
from sac_learner.policy_messages import policy_from_message, policy_to_message


def test_policy_survives_the_message():
    weights = make_policy(version=2**50, explore_uniformly=True)
    back = policy_from_message(policy_to_message(weights))
    assert back.computed_checksum() == back.checksum == weights.checksum
    assert (back.run, back.version, back.transitions, back.updates) == ("test", 2**50, 100, 50)
    assert back.explore_uniformly
    for name, tensor in weights.tensors.items():
        np.testing.assert_array_equal(back.tensors[name], tensor)


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("tensor_ranks", array.array("I", [2, 1, 2]), "6 tensor names"),
        ("tensor_ranks", array.array("I", [2, 1, 2, 1, 2, 1]), "dimensions do not fit"),
        ("tensor_dimensions", array.array("I", [16, 5, 16, 4, 16, 4, 2]), "dimensions do not fit"),
        ("tensor_dimensions", array.array("I", [16, 5, 16, 4, 16, 4, 3, 1]), "the shapes ask for"),
        ("tensor_dimensions", array.array("I", [2**31, 2**31, 16, 4, 16, 4, 2, 1]), "the shapes ask for"),
        ("tensor_names", ["a", "a", "b", "c", "d", "e"], "5 different"),
        ("data", array.array("f", [0.0]), "data has 1 values"),
    ],
)
def test_message_whose_parts_do_not_fit_together_is_refused(field, value, problem):
    message = policy_to_message(make_policy())
    setattr(message, field, value)
    with pytest.raises(PolicyError, match=problem):
        policy_from_message(message)
