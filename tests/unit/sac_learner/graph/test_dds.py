"""Fast DDS's settings: the profiles are there and readable, what the user has chosen stays, and children keep them."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from sac_learner.graph.dds import PROFILES, RANGE, TRANSPORTS, dds_environment


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch):
    for name in (*PROFILES, TRANSPORTS, RANGE, "RMW_IMPLEMENTATION"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("distribution", "variable"), [("jazzy", PROFILES[0]), ("kilted", PROFILES[1])])
@pytest.mark.parametrize(
    ("discovery", "expected"),
    [("localhost", {RANGE: "SYSTEM_DEFAULT"}), ("subnet", {RANGE: "SUBNET", TRANSPORTS: "UDPv4"})],
)
def test_the_profile_is_there(monkeypatch, distribution, variable, discovery, expected):
    monkeypatch.setenv("ROS_DISTRO", distribution)
    environment = dds_environment(discovery)
    profile = Path(environment.pop(variable))
    assert environment == expected
    root = ElementTree.parse(profile).getroot()
    period = next(element for element in root.iter() if element.tag.endswith("leaseAnnouncement"))
    seconds, nanoseconds = (int(element.text) for element in period)
    assert seconds + nanoseconds * 1e-9 < 1.0
    sizes = [int(element.text) for element in root.iter() if element.tag.endswith("BufferSize")]
    assert len(sizes) == 2 and min(sizes) > 4 * 390_000, "room for policies while nobody reads"


@pytest.mark.parametrize("name", PROFILES)
def test_the_profile_of_the_user_stays(monkeypatch, name):
    monkeypatch.setenv(name, "own.xml")
    assert dds_environment("localhost") == {RANGE: "LOCALHOST"}
    assert dds_environment("subnet") == {RANGE: "SUBNET"}


def test_another_dds_knows_nothing_of_the_profile(monkeypatch):
    """Without one SYSTEM_DEFAULT would be the whole network."""
    monkeypatch.setenv("RMW_IMPLEMENTATION", "rmw_cyclonedds_cpp")
    assert dds_environment("localhost") == {RANGE: "LOCALHOST"}
    assert dds_environment("subnet") == {RANGE: "SUBNET"}


@pytest.mark.parametrize(("discovery", "reach"), [("localhost", "LOCALHOST"), ("subnet", "SUBNET")])
def test_the_transports_that_the_user_has_chosen_stay(monkeypatch, discovery, reach):
    monkeypatch.setenv(TRANSPORTS, "DEFAULT")
    environment = dds_environment(discovery)
    assert environment[RANGE] == reach
    assert TRANSPORTS not in environment
    assert {Path(environment[name]).name for name in PROFILES if name in environment} == {"dds_subnet.xml"}


@pytest.mark.parametrize("discovery", ["localhost", "subnet"])
def test_a_child_has_what_its_parent_has(monkeypatch, discovery):
    first = dds_environment(discovery)
    for name, value in first.items():
        monkeypatch.setenv(name, value)
    assert {**first, **dds_environment(discovery)} == first


def test_who_has_spoken_to_the_network_may_speak_to_this_computer_alone(monkeypatch):
    """A command in the process of another one, and a user who wants UDP anyway."""
    alone = dds_environment("localhost")
    for name, value in dds_environment("subnet").items():
        monkeypatch.setenv(name, value)
    assert dds_environment("localhost") == alone
