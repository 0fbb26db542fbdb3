"""docs/from-the-c-plugin.md."""

from tests.commands.table import How, Lab

PAGE = "docs/from-the-c-plugin.md"
LINES: dict[str, How] = {
    "mv /var/lib/collectd/rrd/web-1/virt /var/lib/collectd/rrd/web-1/virt2": Lab(r"^\s*$", state="series"),
}
