"""docs/metrics.md."""

from tests.commands.table import How, Lab

PAGE = "docs/metrics.md"
LINES: dict[str, How] = {"virsh dommemstat --period 10 --live web-1": Lab(r"^\s*$")}
