"""What no emulated servo does, in a bridge on emulated servos: an error nobody foresaw, and temperatures alone that
cannot be read."""

import signal
from pathlib import Path

import pytest
from helpers import breakable_bridge
from helpers.commander import SERVO_ROBOTS
from helpers.rig import Rig
from helpers.ros import call
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState

pytestmark = pytest.mark.ros

ANEW = (
    Transition.TRANSITION_DEACTIVATE,
    Transition.TRANSITION_CLEANUP,
    Transition.TRANSITION_CONFIGURE,
    Transition.TRANSITION_ACTIVATE,
)
# Ten temperatures are read in one second.
UNREAD_S = 4.0


@pytest.fixture(scope="module", params=SERVO_ROBOTS, ids=lambda robot: robot.name)
def rig(request):
    limit = {"robot.safety.temperature_timeout_s": UNREAD_S}
    with Rig(request.param, program=Path(breakable_bridge.__file__), **limit) as rig:
        yield rig


@pytest.mark.parametrize("number", breakable_bridge.METHODS, ids=breakable_bridge.METHODS.values())
def test_it_switches_torque_off_and_stays_until_configured_anew(rig, number):
    rig.ready()

    def configure():
        for each in ANEW:
            request = ChangeState.Request(transition=Transition(id=each))
            assert call(rig.commander.node, ChangeState, "bridge/change_state", request).success

    detail = rig.assert_stops(1.0, lambda: rig.process.signal(signal.Signals(number)), "backend_failed", mend=configure)
    assert "ZeroDivisionError: nobody foresaw this; deactivate, clean up, configure and activate" in detail
    assert rig.process.process.poll() is None
    assert "backend_failed" in rig.commander.call("safety/reset", expect=False)
    assert not any(servo["torque_on"] for servo in rig.emulator.status()["servos"])
    configure()
    rig.assert_stays_stopped_until_reset_and_armed()


def test_a_robot_whose_temperatures_nobody_knows_stops(rig):
    rig.ready()

    def toggle():
        rig.process.signal(breakable_bridge.NO_TEMPERATURE)

    detail = rig.assert_stops(UNREAD_S + 3.0, toggle, "temperature", mend=toggle)
    assert "could not be read for" in detail and f"limit {UNREAD_S:g} s" in detail
    toggle()
    rig.assert_stays_stopped_until_reset_and_armed()
