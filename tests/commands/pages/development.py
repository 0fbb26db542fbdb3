"""docs/development.md."""

from tests.commands.table import Elsewhere, How, Never

PAGE = "docs/development.md"
LINES: dict[str, How] = {
    "scripts/fresh 12 scripts/run --seconds 20": Never(
        "It makes a whole system of packages of the net; both of these are run before each release, and"
        " tests/integration/test_packages.py runs scripts/fresh."
    ),
    "scripts/fresh 13 scripts/test": Never("It runs this test again, in a new system; it is run before each release."),
    'scripts/fresh 13 bash -c "$(/usr/bin/python3 -m tests.packages.script deb contents rpm)"': Elsewhere(
        "tests/integration/test_packages.py", 'ROOT / "scripts" / "fresh", release, "bash", "-c", script(chapters)'
    ),
    "scripts/test unit -- -k pool": Never("It would run this test again, and others; pytest knows its own options."),
}
