"""`rosac eval` on a port: there is one robot, and those who speak to it are heard as in its training."""

import pytest
from helpers.commander import ROBOT, Commander
from helpers.graph import GraphProcess, own_parameters, rosac
from helpers.patience import PATIENCE_S, until
from helpers.ros import ros_node
from robot_bridge.emulator import EmulatorProcess
from sac_interfaces.msg import SafetyState

pytestmark = pytest.mark.ros


def test_an_evaluation_hears_the_stop_and_leaves_a_robot_alone_that_another_graph_has(tmp_path):
    patient = {"robot.servos.bus_watchdog_s": 1.0, "bus.reply_timeout_s": 0.2}
    own = own_parameters(tmp_path / "own.yaml", {"bridge": patient})
    with EmulatorProcess(ROBOT) as emulator, ros_node("person") as node:
        arguments = ("backend:=dynamixel", f"port:={emulator.port}", "steps:=0", "run:=r", own)
        with GraphProcess("up", *arguments, directory=tmp_path) as graph:
            policy = tmp_path / "runs/r/policy_untrained.safetensors"
            until(lambda: policy.exists() or graph.process.poll() is not None, "a policy")
            until(lambda: emulator.status()["instructions"] > 100, "the bridge has the port")
            refused = rosac("eval", "r", "--untrained", directory=tmp_path)
            assert refused.returncode == 2, refused.stderr
            assert "another process has it open (a bridge, or `rosac bus`): end that first" in refused.stderr
            elsewhere = ("port:=emulator", "namespace:=")
            refused = rosac("eval", "r", "--untrained", "--episodes", "1", *elsewhere, directory=tmp_path)
            assert refused.returncode == 2, refused.stderr
            assert "another graph is up in namespace '/'" in refused.stderr
            for command in ("train", "up"):
                refused = rosac(command, "dclaw_valve", "run:=second", directory=tmp_path, timeout_s=PATIENCE_S)
                assert refused.returncode == 2, refused.stderr
                assert "another graph is up in namespace '/'" in refused.stderr
                assert not (tmp_path / "runs/second").exists()
        commander = Commander(node, commands=False)
        with GraphProcess("eval", "--untrained", "--episodes", "1", directory=tmp_path, stack="r"):
            commander.connect(simulated=False)
            commander.until(lambda: commander.safety[-1].state == SafetyState.DISARMED, "a bridge that waits")
            commander.until(lambda: commander.try_call("safety/arm").success, "armed")
            commander.until(lambda: any(servo["torque_on"] for servo in emulator.status()["servos"]), "it moves")
            commander.press(True)
            assert "operator_stop" in commander.until_safety(SafetyState.STOPPED).causes
            commander.until(lambda: not any(servo["torque_on"] for servo in emulator.status()["servos"]), "torque off")
