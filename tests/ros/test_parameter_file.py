"""Parameter files, read by ROS 2 itself."""

from pathlib import Path

import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rosac_common.parameter_file import parameter_text

# Each a name that somebody may give to a run or a joint, and a truth value or a number without quotes.
TEXTS = ["y", "N", "yes", "Off", "true", "null", "~", "", "1e5", "12", "0x10", "1_000", "-1", "nan", "Infinity", ".inf"]
TEXTS += ["a b", "a: b", "#1", "/**", "dclaw", "turn-1.2", "2026-11-30", "é", "'", '"', "\\", "*"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_read_as_that_text(tmp_path: Path, text: str) -> None:
    values = {"run": text, "names": ["a", text], "limit": 1e-5, "count": 3, "on": True}
    path = tmp_path / "parameters.yaml"
    path.write_text(parameter_text({"/**/reader": {"ros__parameters": values}}), encoding="utf-8")
    context = Context()
    rclpy.init(args=["--ros-args", "--params-file", str(path)], context=context)
    try:
        node = Node("reader", context=context, automatically_declare_parameters_from_overrides=True)
        read = {name: node.get_parameter(name).value for name in values}
        node.destroy_node()
    finally:
        context.shutdown()
    assert read == values
