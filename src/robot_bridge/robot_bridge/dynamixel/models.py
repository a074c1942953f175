"""The models of servos that have the control table of the X series, and where theirs differs from the XM430-W210's.

Source: ROBOTIS e-manual, the page of each model; Protocol 2.0 for fast sync reads. A model that is not here: its page.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from robot_bridge.dynamixel.control_table import NEVER, XM430_W210, Model, Register

# Two blocks of indirect addresses: first address register, first data register, how many.
_INDIRECT = ((168, 224, 28), (578, 634, 28))
# X330: the e-manual gives 20 entries, data from 208 (dynamixel-sdk's table says 224 before firmware 52).
_INDIRECT_330 = ((168, 208, 20),)


@dataclasses.dataclass(frozen=True)
class _Kind:
    """What models share and the XM430-W210 has otherwise."""

    changes: Mapping[str, Mapping[str, int]] = dataclasses.field(default_factory=dict)
    without: tuple[str, ...] = ()
    current_unit_a: float = 2.69e-3
    fast_read_firmware: int = 45  # e-manual, Protocol 2.0: fast sync read
    indirect: tuple[tuple[int, int, int], ...] = _INDIRECT


def _model(name: str, number: int, kind: _Kind, **defaults: int) -> Model:
    """A model of that kind.

    Args:
        name, number, kind: of the model.
        defaults: register -> value from the factory, where the XM430-W210 has another one.
    """
    registers = {register.name: register for register in XM430_W210 if register.name not in kind.without}
    last = max(data + count - 1 for _, data, count in kind.indirect)
    for block, (address, data, count) in enumerate(kind.indirect):
        for i in range(count):
            place = 28 * block + i + 1
            label = f"indirect_address_{place}"
            registers[label] = Register(label, address + 2 * i, 2, data + i, minimum=64, maximum=last)
            label = f"indirect_data_{place}"
            registers[label] = Register(label, data + i, 1, 0)
    own = {label: {"default": value} for label, value in {**defaults, "model_number": number}.items()}
    for label, change in (*kind.changes.items(), *own.items()):
        registers[label] = dataclasses.replace(registers[label], **change)
    for label, goal in (("current_limit", "goal_current"), ("velocity_limit", "goal_velocity")):
        if label in registers:
            registers[goal] = dataclasses.replace(registers[goal], default=registers[label].default)
    if not kind.current_unit_a:
        registers["present_load"] = dataclasses.replace(registers.pop("present_current"), name="present_load")
    if "current_limit" in registers:
        # It leaves the factory at the most that it takes.
        limit = registers["current_limit"]
        registers["current_limit"] = dataclasses.replace(limit, maximum=limit.default)
    return Model(name, number, registers, kind.current_unit_a, kind.fast_read_firmware)


def _supply(lowest: int, highest: int, low: int | None = None) -> dict[str, dict[str, int]]:
    """Voltage limits [0.1 V]: the range, which is the default, too, unless `low` is given."""
    limits = {"minimum": lowest, "maximum": highest}
    return {
        "max_voltage_limit": {**limits, "default": highest},
        "min_voltage_limit": {**limits, "default": lowest if low is None else low},
    }


_12V = _Kind()
_24V = _Kind(_supply(110, 300))
_24V_FINE = dataclasses.replace(_24V, current_unit_a=1.34e-3)
_XW = _Kind(without=("led",))
_XW_24V = dataclasses.replace(_24V, without=("led",))
# They measure a load instead of a current.
_XC430 = _Kind(_supply(60, 160), without=("current_limit", "goal_current"), current_unit_a=0.0)
_XL430 = dataclasses.replace(
    _XC430,
    changes={**_supply(60, 140), "temperature_limit": {"default": 72}, "position_p_gain": {"default": 640}},
)
_2XC430 = dataclasses.replace(_XC430, fast_read_firmware=NEVER)
_2XL430 = dataclasses.replace(_XL430, fast_read_firmware=NEVER)


def _x330(changes: Mapping[str, Mapping[str, int]], **defaults: int) -> _Kind:
    """A kind of X330."""
    same = {
        "firmware_version": {"default": 46},
        "startup_configuration": {"firmware": 46},
        "backup_ready": {"firmware": 46},
        "baud_rate": {"maximum": 6},
        "protocol_type": {"minimum": 2, "maximum": 22},
        "temperature_limit": {"default": 70},
        "velocity_limit": {"maximum": 2047},
    }
    own = {label: {"default": value} for label, value in defaults.items()}
    return _Kind({**same, **changes, **own}, current_unit_a=1e-3, fast_read_firmware=46, indirect=_INDIRECT_330)


_5V = _supply(31, 70, low=35)
_XC330_T = _x330(_supply(55, 140), current_limit=910, velocity_i_gain=1200, velocity_p_gain=40, position_p_gain=900)
_XC330_M = _x330(_5V, current_limit=2352, position_d_gain=500)
_XL330 = _x330(_5V, current_limit=1750, position_p_gain=400, shutdown=53)

MODELS: Mapping[str, Model] = {
    model.name: model
    for model in (
        _model("XM430-W210", 1030, _12V),
        _model("XM430-W350", 1020, _12V, velocity_limit=200),
        _model("XM540-W150", 1130, _12V, current_limit=2047, velocity_limit=230),
        _model("XM540-W270", 1120, _12V, current_limit=2047, velocity_limit=128),
        _model("XH430-W210", 1010, _12V, current_limit=648, velocity_limit=210, position_p_gain=900),
        _model("XH430-W350", 1000, _12V, current_limit=648, velocity_limit=130, position_p_gain=900),
        _model("XH430-V210", 1050, _24V_FINE, current_limit=689, velocity_limit=230),
        _model("XH430-V350", 1040, _24V_FINE, current_limit=689, velocity_limit=135),
        _model("XH540-W150", 1110, _12V, current_limit=2047, velocity_limit=300),
        _model("XH540-W270", 1100, _12V, current_limit=2047, velocity_limit=167),
        _model("XH540-V150", 1150, _24V, current_limit=1188, velocity_limit=230),
        _model("XH540-V270", 1140, _24V, current_limit=1188, velocity_limit=128),
        _model("XD430-T210", 1011, _12V, current_limit=648, velocity_limit=210, position_p_gain=900),
        _model("XD430-T350", 1001, _12V, current_limit=648, velocity_limit=130, position_p_gain=900),
        _model("XD540-T150", 1111, _12V, current_limit=2047, velocity_limit=300),
        _model("XD540-T270", 1101, _12V, current_limit=2047, velocity_limit=167),
        _model("XW430-T200", 1280, _XW, current_limit=2047, velocity_limit=235, position_p_gain=900),
        _model("XW430-T333", 1270, _XW, current_limit=2047, velocity_limit=139, position_p_gain=900),
        _model("XW540-T140", 1180, _XW, current_limit=2047, velocity_limit=304),
        _model("XW540-T260", 1170, _XW, current_limit=2047, velocity_limit=167),
        _model("XW540-H260", 1310, _XW_24V, current_limit=1188, velocity_limit=145),
        _model("XC430-W150", 1070, _XC430, velocity_limit=460, position_p_gain=460, moving_threshold=20),
        _model("XC430-W240", 1080, _XC430, velocity_limit=306, position_p_gain=700),
        _model("XL430-W250", 1060, _XL430, velocity_limit=265, velocity_i_gain=1000, position_d_gain=4000),
        # Two servos in one housing, each with an id of its own.
        _model("2XC430-W250", 1160, _2XC430, velocity_limit=275, position_p_gain=700),
        _model("2XL430-W250", 1090, _2XL430, velocity_limit=250, velocity_i_gain=1800, position_d_gain=2000),
        _model("XC330-T181", 1210, _XC330_T, velocity_limit=510),
        _model("XC330-T288", 1220, _XC330_T, velocity_limit=320),
        _model("XC330-M181", 1230, _XC330_M, velocity_limit=545, velocity_i_gain=1400, position_p_gain=1200),
        _model(
            "XC330-M288",
            1240,
            _XC330_M,
            velocity_limit=350,
            velocity_i_gain=1600,
            velocity_p_gain=50,
            position_p_gain=1100,
        ),
        _model(
            "XL330-M077",
            1190,
            _XL330,
            velocity_limit=1620,
            velocity_i_gain=400,
            velocity_p_gain=40,
            position_i_gain=400,
        ),
        _model("XL330-M288", 1200, _XL330, velocity_limit=445, velocity_i_gain=1600, velocity_p_gain=180),
    )
}


def model_by_number(number: int) -> Model | None:
    """The model that answers a ping with this number, or None."""
    return next((model for model in MODELS.values() if model.number == number), None)
