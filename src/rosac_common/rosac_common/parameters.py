"""Settings as ROS parameters: declared with description, range and type, unknown names refused."""

from __future__ import annotations

import typing
from typing import TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from rosac_common.settings import Leaf, from_mapping, leaves, to_mapping

T = TypeVar("T")
# Parameters that rclpy itself declares; a parameter file may set them.
_RCLPY_PARAMETERS = ("use_sim_time", "start_type_description_service")


def declare_settings(node: Node, cls: type[T]) -> T:
    """Declare every setting of `cls` on the node and return the settings that files and command line give it.

    Raises:
        SettingsError: an unknown name, wrong type or value out of range.
    """
    lists = {leaf.name for leaf in leaves(cls) if typing.get_origin(leaf.type) is list}
    # rclpy ignores overrides that nobody declares; a misspelt key in a YAML file must be an error here. An empty list
    # in a file reaches a node as a parameter without a value.
    overrides = {
        name: [] if parameter.value is None and name in lists else parameter.value
        for name, parameter in node._parameter_overrides.items()
        if name not in _RCLPY_PARAMETERS and not name.startswith("qos_overrides.")
    }
    settings = from_mapping(cls, overrides, where=f"parameters of node '{node.get_name()}'")
    values = to_mapping(settings)
    for leaf in leaves(cls):
        node.declare_parameter(leaf.name, values[leaf.name], _descriptor(leaf), ignore_override=True)
    return settings


def _descriptor(leaf: Leaf) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(description=leaf.doc, read_only=True, additional_constraints=str(leaf.limits))
    low, high = leaf.limits.minimum, leaf.limits.maximum
    if low is None and high is None:
        return descriptor
    if leaf.type is float:
        low = -1.7e308 if low is None else float(low)
        high = 1.7e308 if high is None else float(high)
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    elif leaf.type is int:
        low = -(2**63) if low is None else int(low)
        high = 2**63 - 1 if high is None else int(high)
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=high)]
    return descriptor
