"""docs/status.md."""

from tests.commands.table import How, Lab

PAGE = "docs/status.md"
LINES: dict[str, How] = {
    """echo '{"ask": "domains"}' | socat - UNIX-CONNECT:/run/virt2.sock""": Lab(r'^\{"version": ?1, ?.*"web-1"'),
}
