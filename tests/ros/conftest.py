"""Fixtures of the tests with real nodes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from helpers.ros import ros_node
from helpers.surroundings import Surroundings


@pytest.fixture
def surroundings(request: pytest.FixtureRequest) -> Iterator[Surroundings]:
    """Bridge, actor and learner around a task node; `indirect` parameter: whether in lockstep."""
    with ros_node() as node:
        yield Surroundings(node, lockstep=getattr(request, "param", True))
