"""What `ros2 launch` passes on. `launch` is not among the wheels: what is used of it stands in for it here."""

import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from sac_learner.runs.run_directory import Run, find_run

NAME = "sac_learner.graph.launch_description"


class Thing:
    """An action, an event or a substitution: keeps what it was made with, and does nothing."""

    def __init__(self, *args, **kwargs):
        self.args, self.kwargs = args, kwargs

    def execute(self, context):
        return None


class DeclareLaunchArgument(Thing):
    def execute(self, context):
        context.launch_configurations.setdefault(self.args[0], self.kwargs["default_value"])


class OpaqueFunction(Thing):
    def execute(self, context):
        return self.kwargs["function"](context, *self.kwargs["args"])


class LaunchConfiguration(Thing):
    def perform(self, context):
        return context.launch_configurations[self.args[0]]


@pytest.fixture
def launch(monkeypatch, tmp_path):
    """`ros2 launch` with these arguments, until it would start the nodes; returns the run."""
    things = {name: Thing for name in ("LaunchContext", "LaunchDescription", "LaunchDescriptionEntity")}
    actions = {name: Thing for name in ("LogInfo", "SetEnvironmentVariable", "Shutdown")}
    modules = {
        "launch": things,
        "launch.actions": actions | {"DeclareLaunchArgument": DeclareLaunchArgument, "OpaqueFunction": OpaqueFunction},
        "launch.events": {},
        "launch.events.process": {"ProcessExited": Thing},
        "launch.substitutions": {"LaunchConfiguration": LaunchConfiguration},
        "launch_ros": {},
        "launch_ros.actions": {"Node": Thing},
    }
    for name, content in modules.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    described = importlib.import_module(NAME)
    monkeypatch.setattr(described, "check_that_it_is_alone", lambda _: None)

    def start(**given: str) -> Run:
        context = SimpleNamespace(launch_configurations={"runs": str(tmp_path), "run": "a", **given})
        for action in described.describe("dclaw_valve").args[0]:
            action.execute(context)
        return find_run("a", Path(tmp_path))

    yield start
    del sys.modules[NAME]  # made of what stood in


def test_on_resume_the_run_keeps_what_is_not_given(launch):
    launch(steps="2000", seed="4")
    assert launch(resume="true").arguments["steps"] == "2000"
    run = launch(resume="true", discovery="subnet")
    assert [run.arguments[name] for name in ("steps", "seed", "discovery")] == ["2000", "4", "subnet"]


def test_what_is_given_counts_also_if_it_is_the_default(launch):
    launch(steps="2000", seed="4", discovery="subnet")
    run = launch(resume="true", steps="10000", discovery="localhost")
    assert [run.arguments[name] for name in ("steps", "seed", "discovery")] == ["10000", "4", "localhost"]


def test_another_mode_is_refused_also_if_it_is_the_default(launch):
    launch(mode="sac")
    with pytest.raises(ValueError, match="has mode:=sac, not efficient"):
        launch(resume="true", mode="efficient")
