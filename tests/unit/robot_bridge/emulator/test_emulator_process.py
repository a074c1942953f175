"""The emulator as a process: the real dynamixel-sdk on its pseudo-terminal, its socket, its faults, its time."""

import contextlib
import os
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import dynamixel_sdk as sdk_module
import numpy as np
import pytest
from helpers.emulated_bus import TRIES, SdkHost, make_robot
from helpers.patience import PATIENCE_S, until
from robot_bridge.backend import BackendError
from robot_bridge.emulator import EmulatorProcess
from robot_bridge.robot import load_robot
from robot_bridge.simulation.settings import MinitaurSettings, SimulationSettings

OK, TIMEOUT, CORRUPT = sdk_module.COMM_SUCCESS, sdk_module.COMM_RX_TIMEOUT, sdk_module.COMM_RX_CORRUPT
POSITION = 132


def grouped(group, add):
    for identifier in (1, 2, 3):
        assert add(group, identifier)
    return group


def test_lost_writes_are_those_that_nobody_answers(sdk, emulator):
    emulator.fault("lost_writes", rate=1.0)
    group = sdk_module.GroupSyncWrite(sdk.port, sdk.handler, 65, 1)
    grouped(group, lambda group, identifier: group.addParam(identifier, [1]))
    assert group.txPacket() == OK
    assert sdk.read1ByteTxRx(2, 65) == (0, OK, 0)
    assert emulator.status()["faults_unseen"]["lost_writes"] == 1


# every instruction of the SDK


def test_ping(sdk):
    assert sdk.ping(2) == (1030, OK, 0)
    assert sdk.broadcastPing() == ({1: [1030, 45], 2: [1030, 45], 3: [1030, 45]}, OK)
    assert sdk.ping(77)[1] == TIMEOUT


def test_read_and_write(sdk):
    assert sdk.read4ByteTxRx(1, POSITION) == (2048, OK, 0)
    assert sdk.write2ByteTxRx(1, 84, 700) == (OK, 0)
    assert sdk.read2ByteTxRx(1, 84) == (700, OK, 0)
    assert sdk.write1ByteTxRx(1, 64, 1) == (OK, 0)
    assert sdk.write1ByteTxRx(1, 31, 70) == (OK, 7)


def test_statuses_that_must_be_stuffed_come_through(sdk):
    values = [0xFF, 0xFF, 0xFD, 0xFD]
    for place, value in enumerate(values):
        assert sdk.write2ByteTxRx(1, 168 + 2 * place, 224 + place) == (OK, 0)
        assert sdk.write1ByteTxRx(1, 224 + place, value) == (OK, 0)
    assert sdk.readTxRx(1, 224, 4) == (values, OK, 0)


def test_registered_write_and_action(sdk):
    assert sdk.regWriteTxRx(1, 65, 1, [1]) == (OK, 0)
    assert sdk.read1ByteTxRx(1, 65) == (0, OK, 0)
    assert sdk.action(0xFE) == OK
    until(lambda: sdk.read1ByteTxRx(1, 65)[0] == 1, "the action is done")


def test_reboot_clear_and_factory_reset(sdk):
    assert sdk.write2ByteTxRx(1, 84, 700) == (OK, 0)
    assert sdk.reboot(1) == (OK, 0)
    until(lambda: sdk.ping(1)[1] == OK, "servo 1 has started")
    assert sdk.read2ByteTxRx(1, 84) == (800, OK, 0)
    assert sdk.clearMultiTurn(1) == (OK, 0)
    assert sdk.write1ByteTxRx(1, 31, 70) == (OK, 0)
    assert sdk.factoryReset(1, 0x02) == (OK, 0)
    assert sdk.read1ByteTxRx(1, 31) == (80, OK, 0)


@pytest.mark.parametrize("fast", [False, True])
def test_sync_read(sdk, fast):
    group = sdk_module.GroupSyncRead(sdk.port, sdk.handler, POSITION, 4)
    grouped(group, lambda g, i: g.addParam(i))
    read = group.fastSyncRead if fast else group.txRxPacket
    assert OK in [read() for _ in range(TRIES)]
    assert [group.getData(i, POSITION, 4) for i in (1, 2, 3)] == [2048] * 3


@pytest.mark.parametrize("fast", [False, True])
def test_bulk_read(sdk, fast):
    group = sdk_module.GroupBulkRead(sdk.port, sdk.handler)
    assert group.addParam(1, POSITION, 4) and group.addParam(2, 146, 1) and group.addParam(3, 144, 2)
    read = group.fastBulkRead if fast else group.txRxPacket
    assert OK in [read() for _ in range(TRIES)]
    assert [group.getData(1, POSITION, 4), group.getData(2, 146, 1), group.getData(3, 144, 2)] == [2048, 25, 120]


def test_sync_and_bulk_write_turn_the_joints(sdk, emulator):
    torque = sdk_module.GroupSyncWrite(sdk.port, sdk.handler, 64, 1)
    assert grouped(torque, lambda g, i: g.addParam(i, [1])).txPacket() == OK
    goals = sdk_module.GroupBulkWrite(sdk.port, sdk.handler)
    grouped(goals, lambda g, i: g.addParam(i, 116, 4, list((2048 + 100 * i).to_bytes(4, "little"))))
    assert goals.txPacket() == OK
    until(lambda: all(abs(sdk.read4ByteTxRx(i, POSITION)[0] - 2048 - 100 * i) <= 2 for i in (1, 2, 3)), "they arrived")
    position = emulator.status()["position_rad"]
    assert position == pytest.approx([0.1534, 0.3068, 0.4602], abs=0.01)
    grouped(
        sdk_module.GroupSyncWrite(sdk.port, sdk.handler, 116, 4), lambda g, i: g.addParam(i, [0, 8, 0, 0])
    ).txPacket()
    until(lambda: all(abs(sdk.read4ByteTxRx(i, POSITION)[0] - 2048) <= 2 for i in (1, 2, 3)), "they are back")


# the line


def test_nobody_answers_at_another_baud_rate(emulator):
    host = SdkHost(emulator, 57_600)
    assert host.ping(1)[1] == TIMEOUT
    assert host.port.setBaudRate(1_000_000)
    assert host.ping(1)[1] == OK
    host.close()


def test_new_servos_speak_57600_baud_and_answers_take_their_time_on_the_wire():
    with EmulatorProcess(make_robot(), baud_rate=57_600) as slow:
        host = SdkHost(slow, 57_600)
        group = sdk_module.GroupSyncRead(host.port, host.handler, 0, 120)
        grouped(group, lambda g, i: g.addParam(i))
        for _ in range(TRIES):
            start_s = time.monotonic()
            if group.txRxPacket() == OK:
                break
        else:
            raise AssertionError("no answer of all three")
        # 17 bytes out, three times 131 back, 10 bits each, and three return delays of 0.5 ms.
        assert time.monotonic() - start_s >= (17 + 3 * 131) * 10 / 57_600 + 1.5e-3
        host.close()


def test_the_port_is_gone_when_unplugged_and_back_when_plugged_in(sdk, emulator):
    emulator.unplug()
    assert not os.path.lexists(emulator.port)
    with pytest.raises((OSError, termios.error)):
        for _ in range(3):
            sdk.ping(1)
    emulator.replug()
    host = SdkHost(emulator)
    assert host.ping(1) == (1030, OK, 0)
    host.close()
    assert emulator.status()["faults"]["unplug"] >= 1
    sdk.port.ser.close()
    sdk.port.openPort()


def test_lost_damaged_and_repeated_packets(sdk, emulator):
    before = emulator.status()["faults"]
    emulator.fault("lost", rate=1.0)
    assert sdk.ping(1)[1] == TIMEOUT
    emulator.clear_faults()
    emulator.fault("corrupt", rate=1.0)
    assert sdk.ping(1)[1] in (CORRUPT, TIMEOUT)
    emulator.clear_faults()
    emulator.fault("duplicated", rate=1.0)
    assert sdk.ping(1)[1] == OK
    emulator.clear_faults()
    after = emulator.status()["faults"]
    for kind in ("lost", "corrupt", "duplicated"):
        assert after[kind] > before.get(kind, 0), kind
    assert sdk.ping(1)[1] == OK


def test_a_late_answer_comes_after_the_host_gave_up(sdk, emulator):
    emulator.fault("late", rate=1.0, delay_s=1.0)
    start_s = time.monotonic()
    assert sdk.handler.ping(sdk.port, 1)[1] == TIMEOUT
    until(lambda: sdk.port.ser.in_waiting >= 14, "the answer is there after all")
    assert time.monotonic() - start_s >= 1.0


def test_time_and_orders_go_on_while_an_answer_is_late(sdk, emulator):
    emulator.fault("late", rate=1.0, delay_s=3600.0)
    assert sdk.handler.ping(sdk.port, 1)[1] == TIMEOUT
    before_s = emulator.status()["time_s"]
    until(lambda: emulator.status()["time_s"] > before_s + 0.1, "time goes on")
    emulator.clear_faults()
    until(lambda: sdk.port.ser.in_waiting >= 14, "what was late comes now")
    assert sdk.ping(1)[1] == OK


def test_torque_off_and_watchdog_trips_are_timed_on_the_common_clock(sdk, emulator):
    assert sdk.write1ByteTxRx(1, 98, 1) == (OK, 0)
    on_s = time.monotonic()
    assert sdk.write1ByteTxRx(1, 64, 1) == (OK, 0)
    until(lambda: emulator.status()["servos"][0]["bus_watchdog"] == -1, "the watchdog trips")
    assert on_s < emulator.status()["servos"][0]["watchdog_tripped_s"] < time.monotonic()
    start_s = time.monotonic()
    assert sdk.write1ByteTxRx(1, 64, 0) == (OK, 0)
    assert start_s < emulator.status()["servos"][0]["torque_off_s"] < time.monotonic()


# the process


def test_an_unknown_order_and_a_wrong_fault_are_refused_by_name(emulator):
    with pytest.raises(BackendError, match="unknown order 'dance'; known: advance, fault"):
        emulator.order("dance")
    with pytest.raises(BackendError, match="unknown fault 'fire'"):
        emulator.fault("fire")
    with pytest.raises(BackendError, match="runs in real time; start it with --lockstep"):
        emulator.advance(0.1)


def test_in_lockstep_time_stands_still_until_told(lockstep_hand):
    host = SdkHost(lockstep_hand)
    before = lockstep_hand.status()
    assert host.read4ByteTxRx(11, POSITION) == host.read4ByteTxRx(11, POSITION)
    assert lockstep_hand.status()["time_s"] == before["time_s"]
    assert lockstep_hand.advance(0.1) == pytest.approx(before["time_s"] + 0.1)
    assert lockstep_hand.status()["position_rad"] != before["position_rad"], "without torque the hand falls"
    host.close()


def test_a_script_lets_faults_happen_at_their_time(tmp_path):
    script = tmp_path / "faults.yaml"
    script.write_text("- {at_s: 0.2, fault: clear}\n- {at_s: 0.1, fault: silent, id: 2}\n")
    with EmulatorProcess(make_robot(), lockstep=True, script=script) as emulator:
        host = SdkHost(emulator)
        answers = []
        for _ in range(3):
            answers.append(host.ping(2)[1])
            emulator.advance(0.1)
            until(lambda: emulator.status()["time_s"] > 0.0, "it has taken note")
        assert answers == [OK, TIMEOUT, OK]
        host.close()


@pytest.mark.parametrize(
    ("text", "message"),
    [("- [", "faults.yaml is not valid YAML"), ("- {at_s: 1, fault: silent, id: 99}", "entry 1, .*no servo has id 99")],
)
def test_a_script_that_makes_no_sense_is_refused(tmp_path, text, message):
    script = tmp_path / "faults.yaml"
    script.write_text(text)
    with pytest.raises(BackendError, match=f"did not start: emulator: .*{message}"):
        EmulatorProcess(make_robot(), script=script)


def test_a_script_whose_servo_has_another_id_by_now_ends_it_with_the_reason(tmp_path):
    script = tmp_path / "faults.yaml"
    script.write_text("- {at_s: 0.1, fault: silent, id: 2}\n")
    with EmulatorProcess(make_robot(), lockstep=True, script=script) as emulator:
        host = SdkHost(emulator)
        assert host.write1ByteTxRx(2, 7, 5) == (OK, 0)
        host.close()
        with contextlib.suppress(BackendError):  # it may end before it has answered, or after
            emulator.advance(0.1)
        emulator.process.wait(PATIENCE_S)
        words = "emulator: the script's fault 'silent' at 0.1 s: no servo has id 2; there are [1, 5, 3] (exit code 1)"
        assert emulator.last_words() == words


def test_a_name_that_is_taken_is_refused(emulator):
    with pytest.raises(BackendError, match="exists; is another emulator running there"):
        EmulatorProcess(make_robot(), link=Path(emulator.port))


def test_it_ends_with_its_parent(tmp_path):
    program = (
        "import sys, time; sys.path.insert(0, sys.argv[1]);"
        "from helpers.emulated_bus import make_robot; from robot_bridge.emulator import EmulatorProcess;"
        "print(EmulatorProcess(make_robot()).process.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(Path(__file__).parents[3])], stdout=subprocess.PIPE, text=True
    )
    child = int(parent.stdout.readline())
    os.kill(child, 0)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()

    def gone():
        try:
            return "Z" in Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1]
        except FileNotFoundError:
            return True

    until(gone, "the emulator has ended")


class TestWalker:
    SERVOS = load_robot(Path(__file__).parents[4] / "config" / "robots" / "minitaur_servos.yaml")

    def test_shows_its_body_and_is_put_back(self):
        with EmulatorProcess(self.SERVOS, lockstep=True) as emulator:
            start = emulator.body()
            emulator.advance(2.0)  # without torque it sinks
            sunk = emulator.body()
            emulator.put_back()
            again = emulator.body()
        assert (start.time_ns, sunk.time_ns, again.time_ns) == (0, 2_000_000_000, 2_000_000_000)
        assert sunk.position_m[2] < start.position_m[2] - 0.05
        np.testing.assert_allclose(again.position_m, start.position_m, atol=1e-6)

    def test_gets_the_settings_of_the_simulation(self):
        noisy = SimulationSettings(minitaur=MinitaurSettings(orientation_noise_rad=0.1))
        with EmulatorProcess(self.SERVOS, lockstep=True, simulation=noisy) as emulator:
            first, second = emulator.body().quaternion, emulator.body().quaternion
        assert np.abs(first - second).max() > 0.001

    def test_a_robot_on_a_fixed_base_has_none(self):
        with EmulatorProcess(make_robot(), lockstep=True) as emulator:
            for order in ("body", "put_back"):
                with pytest.raises(BackendError, match="does not move about"):
                    emulator.order(order)
