"""docs/readers.md."""

from tests.commands.table import How, Lab

PAGE = "docs/readers.md"
LINES: dict[str, How] = {
    "virt-admin server-threadpool-set libvirtd --min-workers 20": Lab(r"^\s*$"),
}
