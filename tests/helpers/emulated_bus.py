"""Emulated servos for tests: a bus inside the test for rules, dynamixel-sdk on a port for the process."""

import dynamixel_sdk
from robot_bridge.emulator.bus import EmulatedBus
from robot_bridge.emulator.packets import InstructionStream, encode
from robot_bridge.emulator.plant import FreeJoints
from robot_bridge.robot import RobotSettings
from robot_bridge.safety_limits import SafetyLimits
from robot_bridge.servos import ServoSettings

JOINTS = 3
BAUD = 1_000_000
TRIES = 4


def make_robot(model="XM430-W210", joints=JOINTS, **servos):
    """Joints that touch nothing; ids 1, 2, 3; 0 rad is tick 2048."""
    lists = {"stall_current_a": 2.3, "current_limit_a": 0.9, "torque_constant_nm_a": 1.3, "position_p_gain": 800}
    block = {name: [value] * joints for name, value in lists.items()}
    block |= {"model": [model] * joints, "position_i_gain": [0] * joints, "position_d_gain": [0] * joints}
    return RobotSettings(
        name="three",
        joint_names=[f"joint{i}" for i in range(joints)],
        joint_ids=[1 + i for i in range(joints)],
        position_min_rad=[-1.5] * joints,
        position_max_rad=[1.5] * joints,
        position_offset_rad=[-3.141592653589793] * joints,
        direction=[1] * joints,
        speed_limit_rad_s=[2.0] * joints,
        kp_nm_rad=[2.0] * joints,
        servos=ServoSettings(**{**block, **servos}),
        safety=SafetyLimits(temperature_stop_c=[65.0]),  # of any model
    )


class Host:
    """Speaks to a bus inside the test, byte for byte."""

    def __init__(self, robot, plant=None, **options):
        self.plant = plant or FreeJoints(robot, epoch_ns=0)
        self.bus = EmulatedBus(robot, self.plant, seed=0, **{"boot_s": 0.0, **options})
        self.drives = self.bus.drives
        self.stream = InstructionStream()

    def servo(self, identifier):
        return next(servo for servo in self.bus.servos if servo.identifier == identifier)

    def send(self, identifier, instruction, parameters=b"", baud_rate=BAUD):
        """Statuses in answer."""
        packets = self.stream.feed(encode(identifier, instruction, bytes(parameters)))
        return [r.packet for p in packets for r in self.bus.handle(p, baud_rate, self.drives.now_s)]

    def ask(self, identifier, instruction, parameters=b""):
        """(error, data) of the only status."""
        (status,) = self.send(identifier, instruction, parameters)
        body = status[8:-2].replace(b"\xff\xff\xfd\xfd", b"\xff\xff\xfd")
        return body[0], body[1:]

    def read(self, identifier, name):
        register = self.servo(identifier).model.register(name)
        error, data = self.ask(identifier, 2, word(register.address) + word(register.size))
        assert error & 0x7F == 0, (name, error)
        return register.decode(data)

    def write(self, identifier, name, value):
        """Error code."""
        register = self.servo(identifier).model.register(name)
        return self.ask(identifier, 3, word(register.address) + register.encode(value))[0] & 0x7F

    def advance(self, duration_s, fed=True):
        self.drives.advance(self.drives.now_s + duration_s, fed=fed)


def word(value):
    return value.to_bytes(2, "little")


class SdkHost:
    """The real dynamixel-sdk on the port of an emulator."""

    def __init__(self, emulator, baud_rate=BAUD):
        self.port = dynamixel_sdk.PortHandler(emulator.port)
        assert self.port.openPort()
        assert self.port.setBaudRate(baud_rate)
        self.handler = dynamixel_sdk.PacketHandler(2.0)

    def __getattr__(self, name):
        """An instruction; once more when no answer came, for a machine that is busy with something else."""
        method = getattr(self.handler, name)

        def ask(*arguments):
            for _ in range(TRIES):
                result = method(self.port, *arguments)
                codes = result if isinstance(result, tuple) else (result,)
                if dynamixel_sdk.COMM_RX_TIMEOUT not in codes:
                    break
            return result

        return ask

    def close(self):
        self.port.closePort()
