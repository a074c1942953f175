"""Changes numbers in the text of a robot file and nothing else: comments and layout stay."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import yaml

from robot_bridge.dynamixel.tools.findings import RefusedError


def replace_lists(text: str, lists: Mapping[str, Sequence[float]]) -> str:
    """The text with new values in some of its lists.

    Args:
        text: of a robot file.
        lists: dotted name under `ros__parameters`, such as robot.position_offset_rad -> all its values. Values that
            are already there keep their spelling.

    Raises:
        RefusedError: a list is not there, has another length, or is an alias of another one.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise RefusedError(f"this is no YAML: {error}") from error
    found = dict(_sequences(root, "", 0))
    edits: list[tuple[int, int, str]] = []
    for name, values in lists.items():
        # The node pattern in front, "/**.ros__parameters.", is whatever the file has.
        nodes = [node for path, node in found.items() if path.endswith(f".ros__parameters.{name}")]
        if len(nodes) != 1 or len(nodes[0].value) != len(values):
            raise RefusedError(f"the robot file has no list '{name}' of its own with {len(values)} values; add one")
        for item, value in zip(nodes[0].value, values, strict=True):
            if float(yaml.safe_load(item.value)) != value:
                edits.append((item.start_mark.index, item.end_mark.index, repr(value)))
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _sequences(node: yaml.Node | None, path: str, after: int) -> Iterator[tuple[str, yaml.SequenceNode]]:
    """Lists by dotted name; without aliases, which stand for a list that lies before their place in the text."""
    if node is None or node.start_mark.index < after:
        return
    if isinstance(node, yaml.SequenceNode):
        yield path, node
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = str(key.value)
            yield from _sequences(value, f"{path}.{name}" if path else name, key.end_mark.index)
