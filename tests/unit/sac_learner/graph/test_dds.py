"""Fast DDS's settings of the nodes: the profile is there and readable, and what the user has chosen stays."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from sac_learner.graph.dds import dds_environment

PROFILES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
TRANSPORTS = "FASTDDS_BUILTIN_TRANSPORTS"


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch):
    for name in (*PROFILES, TRANSPORTS):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("distribution", "variable"), [("jazzy", PROFILES[0]), ("kilted", PROFILES[1])])
def test_the_profile_is_there(monkeypatch, distribution, variable):
    monkeypatch.setenv("ROS_DISTRO", distribution)
    environment = dds_environment()
    assert set(environment) == {variable, TRANSPORTS}
    assert environment[TRANSPORTS] == "UDPv4"
    root = ElementTree.parse(Path(environment[variable])).getroot()
    period = next(element for element in root.iter() if element.tag.endswith("leaseAnnouncement"))
    seconds, nanoseconds = (int(element.text) for element in period)
    assert seconds + nanoseconds * 1e-9 < 1.0


@pytest.mark.parametrize("name", PROFILES)
def test_the_profile_of_the_user_stays(monkeypatch, name):
    monkeypatch.setenv(name, "own.xml")
    assert dds_environment() == {}


def test_the_transports_that_the_user_has_chosen_stay(monkeypatch):
    monkeypatch.setenv(TRANSPORTS, "DEFAULT")
    assert TRANSPORTS not in dds_environment()
