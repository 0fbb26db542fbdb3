"""A collectd module that writes down what collectd makes of its configuration, as JSON in the file AS_READ.

It takes the blocks that are meant for virt2. collectd calls it once for each of them.
"""

from __future__ import annotations

import json
import os
from typing import Any

import collectd

BLOCKS: list[Any] = []


def plain(node: Any) -> list[Any]:
    """Give a node as lists of what JSON knows."""
    values = [{"bytes": list(value)} if isinstance(value, bytes) else value for value in node.values]
    return [node.key, values, [plain(child) for child in node.children]]


def configure(block: Any) -> None:
    """Take one block."""
    BLOCKS.append(plain(block))
    with open(os.environ["AS_READ"], "w") as file:
        json.dump(BLOCKS, file)


collectd.register_config(configure, name="virt2")
