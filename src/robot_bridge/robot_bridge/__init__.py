"""The robot side of rosac: safety gate, Dynamixel bus, simulated robots and the bridge node."""
