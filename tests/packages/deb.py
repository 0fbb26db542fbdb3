"""The deb, from the first installation to the purge. It begins where the commands of the README have installed it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.lab import wait_for
from tests.packages.system import (
    DIST,
    DROP_INS,
    LOG,
    OWN,
    ROOT,
    SOON,
    commit,
    install,
    left_of_virt2,
    newest,
    package,
    restart,
    run,
    status,
    version_of,
    wait_for_point,
)

MODULES = Path("/usr/lib/python3/dist-packages/virt2")
DROP_IN = DROP_INS / "virt2.conf"
OFFERED = DROP_INS / "virt2.conf.dpkg-dist"
"""A drop-in that dpkg did not put in the place of the operator's."""
SAMPLE = DROP_INS / "virt2-fast.conf"
SHARE = Path("/usr/share/virt2")
DOMAIN = "test/virt2/virt_cpu_total"
"""A series of the one domain that libvirt's own test driver has. It needs no libvirtd."""
KEEP = ("-o", "Dpkg::Options::=--force-confold")
"""Keep the operator's own changes, as an upgrade without a terminal does."""
ADDED = MODULES / "added.py"
"""A module that only the newer version has."""


def older() -> Path:
    """Give the deb of the commit that was cloned."""
    return min(DIST.glob("virt2_*_all.deb"))


def newer() -> Path:
    """Give the deb of the commit that the story made."""
    return max(DIST.glob("virt2_*_all.deb"))


def compiled(module: Path) -> list[Path]:
    """Give what Python has compiled of a module."""
    return list((module.parent / "__pycache__").glob(f"{module.stem}.*.pyc"))


def a_restart_with_the_standard_configuration_yields_metrics() -> None:
    written = Path("/var/lib/collectd/rrd")
    wait_for(lambda: list(written.glob("*/virt2-0/duration-read.rrd")), SOON, "the reader's own metrics are written")
    wait_for(lambda: list(written.glob("*/virt2-libvirtd/gauge-budget.rrd")), SOON, "the budget is written")


def the_files_are_there_and_only_the_drop_in_is_configuration() -> None:
    changed = run("dpkg", "--verify", "virt2")
    assert not changed, changed
    conffiles = run("dpkg-query", "--show", "--showformat", "${Conffiles}", "virt2").split()
    assert conffiles[::2] == [str(DROP_IN)], conffiles
    modules = list(MODULES.rglob("*.py"))
    assert len(modules) > 80, modules
    not_compiled = [module for module in modules if len(compiled(module)) != 1]
    assert not not_compiled, not_compiled
    assert (SHARE / "types.db").read_text() == (MODULES / "types.db").read_text()
    needed = run("ldd", "/usr/lib/collectd/python.so")
    assert "not found" not in needed, needed


def lintian_has_nothing_to_say() -> None:
    install("lintian")
    told = run("lintian", "--allow-root", "--display-info", "--pedantic", "--fail-on", "warning", older())
    assert told.strip() == "", told


def the_man_pages_are_found_and_without_warnings() -> None:
    install("man-db", "groff")
    pages = sorted(Path("/usr/share/man").glob("man[15]/*virt2.*"))
    assert "collectd-virt2.5.gz" in [page.name for page in pages]
    # The command and its page come together.
    assert Path("/usr/bin/virt2").exists() == ("virt2.1.gz" in [page.name for page in pages])
    for page in pages:
        shown = subprocess.run(["man", "--warnings", "--local-file", page], capture_output=True, text=True, check=True)
        assert shown.stderr == "", shown.stderr
        assert "SEE ALSO" in shown.stdout
        # lexgrog finds the name and the one line about it, by which apropos finds the page.
        assert page.name.partition(".")[0] in run("lexgrog", page)


def the_command_works_where_it_is_packaged() -> None:
    if Path("/usr/bin/virt2").exists():
        assert run("virt2", "--version") == f"virt2 {version_of(older())}\n"


def the_operators_options_count() -> None:
    (DROP_INS / "test.conf").write_text(OWN)
    SAMPLE.write_text(Path("/usr/share/doc/virt2/examples/virt2-fast.conf").read_text())
    text = DROP_IN.read_text()
    changed = text.replace("qemu:///system", "test:///default")
    assert changed != text
    DROP_IN.write_text(changed)
    began = restart()
    wait_for_point(DOMAIN, began)
    # The reader of the sample beside it.
    wait_for_point("*/virt2-fast/gauge-domains", began)


def an_upgrade_keeps_the_operators_drop_in_and_brings_the_new_version() -> None:
    changed = DROP_IN.read_text()
    name = "collectd.conf.d/virt2.conf"
    commit("A newer version", {name: "# Newer.\n" + (ROOT / name).read_text(), "virt2/added.py": '"""New."""\n'})
    package("deb")
    run("dpkg", "--compare-versions", version_of(older()), "lt", version_of(newer()))
    install(newer(), options=KEEP)
    assert DROP_IN.read_text() == changed
    assert OFFERED.read_text().startswith("# Newer.\n")
    OFFERED.unlink()
    assert len(compiled(ADDED)) == 1
    wait_for_point(DOMAIN, restart())
    assert f"virt2: version {version_of(newer())}, " in LOG.read_text()


def a_module_that_is_gone_leaves_nothing_behind() -> None:
    install(older(), options=(*KEEP, "--allow-downgrades"))
    assert not ADDED.exists()
    assert not compiled(ADDED)
    OFFERED.unlink()


def after_a_removal_only_the_configuration_is_there_and_collectd_starts_without_virt2() -> None:
    changed = DROP_IN.read_text()
    run("apt-get", "remove", "--quiet=2", "--yes", "virt2")
    assert status("virt2") == "config-files"
    assert DROP_IN.read_text() == changed
    left = {path for path in left_of_virt2() if not path.startswith("/var/lib/dpkg/")}
    assert left == {str(DROP_IN), str(SAMPLE)}, left
    began = restart()
    wait_for_point("*/load/load", began)
    assert newest(DOMAIN) <= began


def an_import_would_have_kept_collectd_from_starting() -> None:
    configuration = Path("/tmp/import.conf")
    configuration.write_text((ROOT / "collectd.conf.d" / "virt2.conf").read_text())
    done = subprocess.run(
        ["/usr/sbin/collectd", "-f", "-C", configuration], capture_output=True, text=True, timeout=SOON
    )
    assert done.returncode != 0
    assert "Parsing the config file failed" in done.stderr, done.stderr


def a_reinstallation_goes_on_with_the_operators_options() -> None:
    changed = DROP_IN.read_text()
    install(older(), options=KEEP)
    assert DROP_IN.read_text() == changed
    wait_for_point(DOMAIN, restart())


def a_purge_leaves_nothing_but_what_the_operator_made() -> None:
    run("apt-get", "purge", "--quiet=2", "--yes", "virt2")
    left = left_of_virt2()
    assert left == {str(SAMPLE)}, left
    SAMPLE.unlink()


def an_installation_after_a_purge_is_as_new_and_an_upgrade_replaces_what_nobody_changed() -> None:
    install(older())
    assert "test:///default" not in DROP_IN.read_text()
    install(newer())
    assert DROP_IN.read_text().startswith("# Newer.\n")
    assert list(DROP_INS.glob("virt2*")) == [DROP_IN]
    wait_for_point("*/virt2-0/duration-read", restart())


STEPS = (
    a_restart_with_the_standard_configuration_yields_metrics,
    the_files_are_there_and_only_the_drop_in_is_configuration,
    lintian_has_nothing_to_say,
    the_man_pages_are_found_and_without_warnings,
    the_command_works_where_it_is_packaged,
    the_operators_options_count,
    an_upgrade_keeps_the_operators_drop_in_and_brings_the_new_version,
    a_module_that_is_gone_leaves_nothing_behind,
    after_a_removal_only_the_configuration_is_there_and_collectd_starts_without_virt2,
    an_import_would_have_kept_collectd_from_starting,
    a_reinstallation_goes_on_with_the_operators_options,
    a_purge_leaves_nothing_but_what_the_operator_made,
    an_installation_after_a_purge_is_as_new_and_an_upgrade_replaces_what_nobody_changed,
)
