from sac_learner.learning.policy_source import PolicySource
from sac_learner.runs.run_files import VersionCounter


def test_policy_is_due_at_first_at_the_end_of_exploration_and_each_interval(tmp_path):
    source, sent = PolicySource(VersionCounter(tmp_path / "v", 0), 10), []
    for stored in range(60):
        exploring, updates = stored < 20, max(0, stored - 20)
        if source.due(updates, exploring):
            source.next_version(updates, exploring, stored)
            sent.append((stored, source.version))
    assert sent == [(0, 1), (20, 2), (30, 3), (40, 4), (50, 5)]
    assert source.age_steps(3, 60) == 30
    assert source.age_steps(99, 60) == 0


def test_resumed_run_sends_its_policy_at_once(tmp_path):
    source = PolicySource(VersionCounter(tmp_path / "v", 0), 10)
    assert source.due(5000, exploring=False)
