import math

from sac_learner.learning.policy_source import _REMEMBERED_VERSIONS, PolicySource
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


def test_an_age_that_is_not_known_is_not_young(tmp_path):
    source = PolicySource(VersionCounter(tmp_path / "v", 70), 10)
    assert math.isnan(source.age_steps(70, 60))  # restarted, none made yet
    source.next_version(0, exploring=False, stored=60)
    assert [source.age_steps(version, 65) for version in (71, 70)] == [5, 5]  # of the older one a lower bound
    assert math.isnan(source.age_steps(0, 65))  # no policy chose it
    assert math.isnan(source.age_steps(99, 65))
    for stored in range(61, 61 + _REMEMBERED_VERSIONS):
        source.next_version(0, exploring=False, stored=stored)
    assert source.age_steps(71, 2000) == 2000 - 61


def test_resumed_run_sends_its_policy_at_once(tmp_path):
    source = PolicySource(VersionCounter(tmp_path / "v", 0), 10)
    assert source.due(5000, exploring=False)
