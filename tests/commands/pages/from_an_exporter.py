"""docs/from-an-exporter.md."""

from tests.commands.table import Elsewhere, How

PAGE = "docs/from-an-exporter.md"
LINES: dict[str, How] = {
    "curl --silent http://localhost:9103/metrics": Elsewhere("tests/integration/test_from_an_exporter.py"),
}
