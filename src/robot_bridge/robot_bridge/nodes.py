"""Entry point of the node `bridge`."""

from rosac_common.node_start import start


def bridge() -> int:
    """The executable `bridge`."""
    return start("robot_bridge.bridge_node")
