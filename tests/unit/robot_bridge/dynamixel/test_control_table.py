"""The models of servos against the figures of the e-manual, and each of them set up as at a connection."""

import dataclasses

import pytest
from helpers.emulated_bus import make_robot
from robot_bridge.dynamixel.bus import DynamixelBus
from robot_bridge.dynamixel.connection import servos_of, set_up
from robot_bridge.dynamixel.control_table import NEVER, XM430_W210
from robot_bridge.dynamixel.models import MODELS, model_by_number
from robot_bridge.emulator import EmulatorProcess

# E-manual, the control tables of the models' pages:
#               number  C    volts     lowest-highest    A per count, most   velocity     P     I    D  velocity I, P
FIGURES = {
    "XM430-W210": (1030, 80, (9.5, 16.0), (9.5, 16.0), (2.69e-3, 1193), (330, 1023), (800, 0, 0), (1920, 100)),
    "XM430-W350": (1020, 80, (9.5, 16.0), (9.5, 16.0), (2.69e-3, 1193), (200, 1023), (800, 0, 0), (1920, 100)),
    "XM540-W150": (1130, 80, (9.5, 16.0), (9.5, 16.0), (2.69e-3, 2047), (230, 1023), (800, 0, 0), (1920, 100)),
    "XM540-W270": (1120, 80, (9.5, 16.0), (9.5, 16.0), (2.69e-3, 2047), (128, 1023), (800, 0, 0), (1920, 100)),
    "XH430-W210": (1010, 80, (9.5, 16.0), (9.5, 16.0), (2.69e-3, 648), (210, 1023), (900, 0, 0), (1920, 100)),
    "XH430-W350": (1000, 80, (9.5, 16.0), (9.5, 16.0), (2.69e-3, 648), (130, 1023), (900, 0, 0), (1920, 100)),
    "XH430-V210": (1050, 80, (11.0, 30.0), (11.0, 30.0), (1.34e-3, 689), (230, 1023), (800, 0, 0), (1920, 100)),
    "XH430-V350": (1040, 80, (11.0, 30.0), (11.0, 30.0), (1.34e-3, 689), (135, 1023), (800, 0, 0), (1920, 100)),
    "XH540-W150": (1110, 80, (9.5, 16.0), (9.5, 16.0), (2.69e-3, 2047), (300, 1023), (800, 0, 0), (1920, 100)),
    "XH540-W270": (1100, 80, (9.5, 16.0), (9.5, 16.0), (2.69e-3, 2047), (167, 1023), (800, 0, 0), (1920, 100)),
    "XH540-V150": (1150, 80, (11.0, 30.0), (11.0, 30.0), (2.69e-3, 1188), (230, 1023), (800, 0, 0), (1920, 100)),
    "XH540-V270": (1140, 80, (11.0, 30.0), (11.0, 30.0), (2.69e-3, 1188), (128, 1023), (800, 0, 0), (1920, 100)),
    "XD430-T210": (1011, 80, (9.5, 16.0), (9.5, 16.0), (2.69e-3, 648), (210, 1023), (900, 0, 0), (1920, 100)),
    "XD430-T350": (1001, 80, (9.5, 16.0), (9.5, 16.0), (2.69e-3, 648), (130, 1023), (900, 0, 0), (1920, 100)),
    "XD540-T150": (1111, 80, (9.5, 16.0), (9.5, 16.0), (2.69e-3, 2047), (300, 1023), (800, 0, 0), (1920, 100)),
    "XD540-T270": (1101, 80, (9.5, 16.0), (9.5, 16.0), (2.69e-3, 2047), (167, 1023), (800, 0, 0), (1920, 100)),
    "XW430-T200": (1280, 80, (9.5, 16.0), (9.5, 16.0), (2.69e-3, 2047), (235, 1023), (900, 0, 0), (1920, 100)),
    "XW430-T333": (1270, 80, (9.5, 16.0), (9.5, 16.0), (2.69e-3, 2047), (139, 1023), (900, 0, 0), (1920, 100)),
    "XW540-T140": (1180, 80, (9.5, 16.0), (9.5, 16.0), (2.69e-3, 2047), (304, 1023), (800, 0, 0), (1920, 100)),
    "XW540-T260": (1170, 80, (9.5, 16.0), (9.5, 16.0), (2.69e-3, 2047), (167, 1023), (800, 0, 0), (1920, 100)),
    "XW540-H260": (1310, 80, (11.0, 30.0), (11.0, 30.0), (2.69e-3, 1188), (145, 1023), (800, 0, 0), (1920, 100)),
    "XC430-W150": (1070, 80, (6.0, 16.0), (6.0, 16.0), (0.0, None), (460, 1023), (460, 0, 0), (1920, 100)),
    "XC430-W240": (1080, 80, (6.0, 16.0), (6.0, 16.0), (0.0, None), (306, 1023), (700, 0, 0), (1920, 100)),
    "XL430-W250": (1060, 72, (6.0, 14.0), (6.0, 14.0), (0.0, None), (265, 1023), (640, 0, 4000), (1000, 100)),
    "2XC430-W250": (1160, 80, (6.0, 16.0), (6.0, 16.0), (0.0, None), (275, 1023), (700, 0, 0), (1920, 100)),
    "2XL430-W250": (1090, 72, (6.0, 14.0), (6.0, 14.0), (0.0, None), (250, 1023), (640, 0, 2000), (1800, 100)),
    "XC330-T181": (1210, 70, (5.5, 14.0), (5.5, 14.0), (1e-3, 910), (510, 2047), (900, 0, 0), (1200, 40)),
    "XC330-T288": (1220, 70, (5.5, 14.0), (5.5, 14.0), (1e-3, 910), (320, 2047), (900, 0, 0), (1200, 40)),
    "XC330-M181": (1230, 70, (3.5, 7.0), (3.1, 7.0), (1e-3, 2352), (545, 2047), (1200, 0, 500), (1400, 100)),
    "XC330-M288": (1240, 70, (3.5, 7.0), (3.1, 7.0), (1e-3, 2352), (350, 2047), (1100, 0, 500), (1600, 50)),
    "XL330-M077": (1190, 70, (3.5, 7.0), (3.1, 7.0), (1e-3, 1750), (1620, 2047), (400, 400, 0), (400, 40)),
    "XL330-M288": (1200, 70, (3.5, 7.0), (3.1, 7.0), (1e-3, 1750), (445, 2047), (400, 0, 0), (1600, 180)),
}
# Supply [V] -> models that take it.
SUPPLIES = {
    5.0: [name for name, figures in FIGURES.items() if figures[2][1] == 7.0],
    12.0: [name for name, figures in FIGURES.items() if figures[2][0] <= 9.5 and figures[2][1] >= 14.0],
    24.0: [name for name, figures in FIGURES.items() if figures[2][1] == 30.0],
}


def default(model, name):
    return model.register(name).default


def test_the_table_has_every_model():
    assert set(FIGURES) == set(MODELS) == {name for names in SUPPLIES.values() for name in names}


def test_no_two_models_have_one_number():
    assert len({model.number for model in MODELS.values()}) == len(MODELS)
    for name, model in MODELS.items():
        assert model_by_number(model.number) is model
        assert model.name == name


@pytest.mark.parametrize("name", FIGURES)
def test_figures_of_the_e_manual(name):
    number, hottest_c, volts, range_v, (unit_a, most), (velocity, highest), gains, velocity_gains = FIGURES[name]
    model = MODELS[name]
    assert model.number == default(model, "model_number") == number
    assert default(model, "temperature_limit") == hottest_c
    limits = [model.register(f"{end}_voltage_limit") for end in ("min", "max")]
    assert tuple(limit.default / 10 for limit in limits) == volts
    assert {(limit.minimum / 10, limit.maximum / 10) for limit in limits} == {range_v}
    assert model.current_unit_a == unit_a
    current = model.registers.get("current_limit")
    assert (current and (current.default, current.minimum, current.maximum)) == (most and (most, 0, most))
    assert ("goal_current" in model.registers) == (most is not None)
    limit = model.register("velocity_limit")
    assert (limit.default, limit.minimum, limit.maximum) == (velocity, 0, highest)
    assert tuple(default(model, f"position_{gain}_gain") for gain in "pid") == gains
    assert tuple(default(model, f"velocity_{gain}_gain") for gain in "ip") == velocity_gains


@pytest.mark.parametrize("name", FIGURES)
def test_figures_that_whole_series_share(name):
    model, x330 = MODELS[name], "330-" in name
    assert (default(model, "pwm_limit"), model.register("pwm_limit").maximum) == (885, 885)
    assert default(model, "shutdown") == (53 if name.startswith("XL330") else 52)
    assert default(model, "moving_threshold") == (20 if name == "XC430-W150" else 10)
    assert (default(model, "min_position_limit"), default(model, "max_position_limit")) == (0, 4095)
    assert model.register("baud_rate").maximum == (6 if x330 else 7)
    assert ("led" in model.registers) == (not name.startswith("XW"))
    # E-manual, Protocol 2.0, fast sync read.
    newer = {model.register(label).firmware for label in ("startup_configuration", "backup_ready")}
    assert newer == {46 if x330 else 45}
    assert model.fast_read_firmware == (NEVER if name.startswith("2X") else 46 if x330 else 45)
    pointers = [r for label, r in model.registers.items() if label.startswith("indirect_address_")]
    assert (pointers[0].address, pointers[0].default) == (168, 208 if x330 else 224)
    assert (pointers[-1].address, pointers[-1].default) == ((206, 227) if x330 else (632, 661))
    assert {(pointer.minimum, pointer.maximum) for pointer in pointers} == {(64, 227 if x330 else 661)}
    assert len(pointers) == (20 if x330 else 56)


@pytest.mark.parametrize("name", FIGURES)
def test_registers_lie_where_the_xm430_has_them(name):
    places = {register.name: (register.address, register.size, register.signed) for register in XM430_W210}
    assert ("present_load" in MODELS[name].registers) == ("present_current" not in MODELS[name].registers)
    places["present_load"] = places["present_current"]
    for label, register in MODELS[name].registers.items():
        if not label.startswith("indirect_"):
            assert (register.address, register.size, register.signed) == places[label], label


def robot_of(names, voltage_v):
    """One joint of each model; gains that none of them has from the factory."""
    robot = make_robot(joints=len(names))
    servos = dataclasses.replace(
        robot.servos,
        model=names,
        voltage_v=voltage_v,
        position_p_gain=[321] * len(names),
        position_i_gain=[7] * len(names),
        position_d_gain=[11] * len(names),
    )
    return dataclasses.replace(robot, servos=servos)


@pytest.mark.parametrize("voltage_v", SUPPLIES)
def test_every_model_is_set_up_whatever_it_left_the_factory_with(voltage_v):
    names = SUPPLIES[voltage_v]
    robot = robot_of(names, voltage_v)
    with EmulatorProcess(robot, lockstep=True) as emulator:
        bus = DynamixelBus(emulator.port, robot.servos.baud_rate, reply_timeout_s=1.0)
        bus.open()
        try:
            fast = set_up(bus, servos_of(robot), ticks=4)
            assert fast == (not any(name.startswith("2X") for name in names))
            for servo in servos_of(robot):
                for name, value in {**servo.settings, "bus_watchdog": 4}.items():
                    assert bus.read(servo.identifier, servo.model.register(name)) == value, (servo.model.name, name)
        finally:
            bus.close()
