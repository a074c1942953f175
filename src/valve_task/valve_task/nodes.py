"""Entry point of the node `task`."""

from rosac_common.node_start import start


def task() -> int:
    """The executable `task`."""
    return start("valve_task.task_node")
