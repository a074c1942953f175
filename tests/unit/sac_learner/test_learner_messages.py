"""Episode summaries that anybody may publish: refused when they make no row."""

import math

import pytest
from sac_interfaces.msg import EpisodeSummary
from sac_learner.learner_messages import episode_row


def test_terms_and_counters_are_columns():
    message = EpisodeSummary(reward_term_names=["a"], reward_term_sums=[1.5], counter_names=["a"], counters=[2])
    row = episode_row(message)
    assert (row["reward_a"], row["count_a"], row["success"]) == (1.5, 2, 0)
    assert "header" not in row


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"reward_term_names": ["a", "b"], "reward_term_sums": [1.0]}, "reward: 1 values for the names a, b"),
        ({"reward_term_names": ["a", "a"], "reward_term_sums": [1.0, 2.0]}, "reward: 2 values for the names a, a"),
        ({"counters": [1]}, "count: 1 values for the names none"),
        ({"counter_names": ["a\n"], "counters": [1]}, "count name is 'a\\\\n'; it must be printable"),
        ({"session_id": "a\nb"}, "session_id is .*printable"),
        ({"duration_s": math.nan}, "duration_s is nan, it must be 0 or more"),
        ({"reset_duration_s": -1.0}, "reset_duration_s is -1, it must be 0 or more"),
    ],
)
def test_a_malformed_summary_is_refused(fields, expected):
    with pytest.raises(ValueError, match=expected):
        episode_row(EpisodeSummary(**fields))
