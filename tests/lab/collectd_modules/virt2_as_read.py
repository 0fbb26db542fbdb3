"""A collectd module that writes down what collectd makes of its configuration, as JSON in the file AS_READ.

It takes the blocks that are meant for virt2. collectd calls it once for each of them.
"""

import json
import os

import collectd

BLOCKS = []


def plain(node):
    values = [{"bytes": list(value)} if isinstance(value, bytes) else value for value in node.values]
    return [node.key, values, [plain(child) for child in node.children]]


def configure(block):
    BLOCKS.append(plain(block))
    with open(os.environ["AS_READ"], "w") as file:
        json.dump(BLOCKS, file)


collectd.register_config(configure, name="virt2")
