"""What is listed in more than one place is the same there."""

import itertools
import re
import subprocess

import plugin_page
import pytest
import stage
from checkout import ROOT

from tests.packages.script import commands, script
from tests.unit.test_docs import README

CONTROL = (ROOT / "packaging/debian/control").read_text()
SPEC = (ROOT / "packaging/virt2.spec").read_text()


def field(name, text=CONTROL):
    """The entries of a list in debian/control."""
    lines = re.search(rf"^{name}:\n((?: .*\n)+)", text, re.MULTILINE).group(1)
    return [line.strip().rstrip(",") for line in lines.splitlines()]


def listed(name):
    """A list of scripts/lib.sh."""
    program = f'source scripts/lib.sh; printf "%s\\n" "${{{name}[@]}}"'
    done = subprocess.run(["bash", "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_script_installs_what_the_deb_is_built_with():
    needed = {re.sub(r"-compat \(.*\)", "", entry) for entry in field("Build-Depends")}
    # The script itself takes the commit out of the repository.
    assert listed("deb_packages") == needed | {"git"}


def test_the_script_installs_what_the_rpm_is_built_with():
    needed = set(re.findall(r"^BuildRequires: +([\w-]+)", SPEC, re.MULTILINE))
    assert listed("rpm_packages") == needed | {"git", "rpm"}
    assert listed("wheel_packages") < listed("rpm_packages")


def test_nothing_else_installs_what_only_packages_need():
    only = (listed("deb_packages") | listed("rpm_packages")) - {"python3"}
    assert only & (listed("python_packages") | listed("lab_packages")) == set()


VERSIONS = [(3, minor) for minor in range(8, 17)]
"""Of Python."""


def is_met(alternative, python, libraries):
    """Whether a system has what one alternative of a dependency asks for."""
    match = re.fullmatch(r"python3 \((<<|>=) (\d+)\.(\d+)\)", alternative)
    if match:
        version = (int(match[2]), int(match[3]))
        return python < version if match[1] == "<<" else python >= version
    return alternative in libraries


@pytest.mark.parametrize("python", VERSIONS, ids=lambda version: "{}.{}".format(*version))
def test_the_deb_asks_for_the_libpython_of_the_systems_own_python(python):
    clauses = [entry.split(" | ") for entry in field("Depends") if "python3." in entry or "python3 (" in entry]
    every = [f"libpython{major}.{minor}" for major, minor in VERSIONS]
    own = "libpython{}.{}".format(*python)
    for count in range(4):
        # Libraries of other versions may be left of a system that was upgraded.
        for libraries in itertools.combinations(every, count):
            met = all(any(is_met(one, python, libraries) for one in clause) for clause in clauses)
            assert met == (own in libraries and (3, 11) <= python <= (3, 13)), libraries


def test_both_packages_say_the_same_of_themselves():
    summary = re.search(r"^Summary: +(.*)$", SPEC, re.MULTILINE).group(1)
    assert f"Description: {summary[0].lower()}{summary[1:]}\n" in CONTROL
    description = SPEC.split("%description\n", 1)[1].split("\n%prep", 1)[0].split()
    assert (
        description == re.sub(r"^ \.$", "", CONTROL.split("Description:", 1)[1].split("\n", 1)[1], flags=re.M).split()
    )
    assert "python3-rich" in field("Recommends")
    assert re.search(r"^Recommends: +python3-rich$", SPEC, re.MULTILINE)
    assert "python3-libvirt" in field("Depends")
    assert re.search(r"^Requires: +python3-libvirt$", SPEC, re.MULTILINE)


def test_nothing_that_lintian_says_is_overridden_and_each_filter_of_rpmlint_has_its_reason():
    assert list((ROOT / "packaging/debian").rglob("*lintian*")) == []
    filters = (ROOT / "packaging/rpmlint.toml").read_text().split("Filters = [\n", 1)[1].splitlines()
    assert filters[0].lstrip().startswith("# ")
    assert len([line for line in filters if line.lstrip().startswith('"')]) > 5


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stage")
    stage.write(folder)
    return folder


def test_links_between_packaged_pages_lead_somewhere(staged):
    folder = staged / "share/doc/virt2"
    pages = list(folder.rglob("*.md"))
    assert len(pages) > 12
    missing = {
        target
        for page in pages
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
        if "://" not in target
        and (ROOT / page.relative_to(folder).parent / target).exists()
        and not (page.parent / target).exists()
    }
    # Debian has it as `copyright`, and Fedora in a folder of its own.
    assert missing == {"LICENSE"}


def test_every_file_that_the_man_page_names_below_usr_is_packaged(staged):
    named = {path.rstrip("/") for names in plugin_page.FILES for path in re.findall(r"`/usr/([^`]+)`", names)}
    assert len(named) == 4
    # A link that only the packages themselves can make.
    assert {path for path in named if not (staged / path).exists()} == {"share/virt2/types.db"}
    assert (staged / "collectd/virt2.conf").exists()


def test_every_page_of_man_is_staged_in_its_section(staged):
    assert (staged / "share/man/man5/collectd-virt2.5").read_text().startswith(".TH ")
    assert all(path.parent.name == f"man{path.name[-1]}" for path in (staged / "share/man").rglob("*.*"))


def test_the_story_begins_with_the_commands_of_the_readme():
    found = commands(README)
    assert found[0] == "scripts/package deb"
    assert found[-1] == "service collectd restart"
    assert "\n".join(found) in script(["deb"])


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--help"], 0, "scripts/package deb "),
        ([], 1, "scripts/package deb "),
        (["apk"], 1, "usage: scripts/package"),
        (["deb", "rpm"], 1, "one kind of package at a time"),
        (["deb", "--python", "3.9"], 1, "--python is for an rpm"),
        (["rpm", "--python"], 1, "--python needs a version"),
        (["rpm", "--python", "2.7"], 1, "--python takes a version such as 3.9"),
    ],
)
def test_the_script_tells_how_it_is_used(arguments, code, said):
    done = subprocess.run([ROOT / "scripts/package", *arguments], capture_output=True, text=True)
    assert (done.returncode, said in done.stdout + done.stderr) == (code, True)
