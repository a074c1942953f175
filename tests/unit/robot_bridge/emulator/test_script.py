"""Scripts of faults: by time, and refused with file, entry and reason before the emulator starts."""

import pytest
from robot_bridge.emulator.script import load_script
from rosac_common.settings import SettingsError

IDS = [10, 20]


def load(tmp_path, text):
    path = tmp_path / "faults.yaml"
    path.write_text(text)
    return load_script(path, IDS)


def test_faults_come_by_their_time(tmp_path):
    text = "- {at_s: 2, fault: late, rate: 0.5, delay_s: 0.1}\n- {at_s: 0.5, fault: silent, id: 20}"
    assert load(tmp_path, text) == [(0.5, "silent", {"id": 20}), (2.0, "late", {"rate": 0.5, "delay_s": 0.1})]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{at_s: 1, fault: silent, id: 99}", r"no servo has id 99; there are \[10, 20\]"),
        ("{at_s: 1, fault: silent, id: 10.5}", "fault 'silent': id is 10.5, it must be a whole number"),
        ("{at_s: x, fault: clear}", "at_s is 'x', it must be a finite number"),
        ("{at_s: .nan, fault: clear}", "at_s is nan, it must be a finite number"),
        ("{at_s: -1, fault: clear}", "at_s is -1, it must be 0 or more"),
        ("{fault: clear}", "it lacks at_s; give what happens and when, such as {at_s: 3.0,"),
        ("silent", "it is no mapping; give what happens"),
        ("{at_s: 1, fault: explode}", "unknown fault 'explode'; known: lost"),
        ("{at_s: 1, fault: lost, 7: 1}", r"fault 'lost' takes \['rate'\], got \['7'\]"),
        ("{at_s: 1, fault: lost, rate: 2}", "rate is 2, it must be in 0 .. 1"),
        ("{at_s: 1, fault: late, rate: 1, delay_s: -1}", "delay_s is -1, it must be 0 or more"),
        ("{at_s: 1, fault: voltage, id: 10, volts: .inf}", "volts is inf, it must be a finite number"),
        ("{at_s: 1, fault: hardware_error, id: 10, bit: 1}", "bit is 1, it must be one of 0, 2, 3, 4, 5"),
    ],
)
def test_a_wrong_entry_is_refused_with_file_entry_and_reason(tmp_path, entry, message):
    with pytest.raises(SettingsError, match=f"faults.yaml: entry 2, .*: .*{message}"):
        load(tmp_path, f"- {{at_s: 0, fault: clear}}\n- {entry}")


@pytest.mark.parametrize(
    ("text", "message"),
    [("- {at_s: 1", "faults.yaml is not valid YAML: "), ("", "expected a list"), ("lost: 1", "expected a list")],
)
def test_what_is_no_list_is_refused(tmp_path, text, message):
    with pytest.raises(SettingsError, match=message):
        load(tmp_path, text)


def test_a_script_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="cannot read the script .*none.yaml: .*No such file"):
        load_script(tmp_path / "none.yaml", IDS)
