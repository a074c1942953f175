"""The DDS profile of the nodes: there, readable, and out of the way of the user's own."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from sac_learner.graph.quick_discovery import quick_discovery

VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")


@pytest.mark.parametrize(("distribution", "variable"), [("jazzy", VARIABLES[0]), ("kilted", VARIABLES[1])])
def test_the_profile_is_there(monkeypatch, distribution, variable):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ROS_DISTRO", distribution)
    environment = quick_discovery()
    assert set(environment) == {variable}
    root = ElementTree.parse(Path(environment[variable])).getroot()
    period = next(element for element in root.iter() if element.tag.endswith("leaseAnnouncement"))
    seconds, nanoseconds = (int(element.text) for element in period)
    assert seconds + nanoseconds * 1e-9 < 1.0


@pytest.mark.parametrize("name", VARIABLES)
def test_the_profile_of_the_user_stays(monkeypatch, name):
    monkeypatch.setenv(name, "own.xml")
    assert quick_discovery() == {}
