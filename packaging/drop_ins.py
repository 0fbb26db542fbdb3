"""The drop-ins as packages have them: they include a file of the package, instead of importing virt2 themselves.

collectd does not start where it is told to import a module that is gone. It starts, with one line on standard error,
where a file is gone that it is told to include, and it only warns of a Module block that nobody reads. A package
manager keeps configuration when it removes a package. So what is kept must not import anything.
"""

from __future__ import annotations

import re

from checkout import ROOT

SAMPLES = ROOT / "collectd.conf.d"
DROP_IN = "virt2.conf"
LOAD = "/usr/share/virt2/load.conf"
"""Where the packages have `load.conf`."""

_LOADING = re.compile(
    r'(?:^#.*\n)*^<LoadPlugin python>\n  Globals true\n</LoadPlugin>\n\n<Plugin python>\n  Import "virt2"\n\n', re.M
)
"""What loads virt2 in a sample, with the comment right above it."""

_INCLUDING = f"""\
# This loads virt2. The file is removed together with the package, and collectd then starts without virt2. An Import
# would keep collectd from starting, because its module would be gone.
Include "{LOAD}"

<Plugin python>
"""


def packaged(sample: str) -> str:
    """Give the text of a sample as packages have it.

    Raises:
        ValueError: the sample does not load virt2 the way all samples do, exactly once.
    """
    text, count = _LOADING.subn(_INCLUDING, sample)
    if count != 1:
        raise ValueError(f"what loads virt2 is there {count} times")
    return text


def texts() -> dict[str, str]:
    """Give the text of every drop-in by its name: `virt2.conf`, and the samples."""
    return {path.name: packaged(path.read_text(encoding="utf-8")) for path in sorted(SAMPLES.rglob("*.conf"))}
