"""``virt2 check``: says what is wrong with the configuration and with this host, and what to do."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence

from virt2.cli import commands, conffile, effective, report, show_config
from virt2.cli.bounded import Look
from virt2.cli.effective import Effective
from virt2.cli.findings import ERROR, NOTE, WARNING, Finding, status_of
from virt2.cli.rules import side_by_side, threads, writers
from virt2.cli.survey import Survey, plugins_alone
from virt2.config import reading
from virt2.config.reading import Problem, Traced

BOUND = 2.5
"""Seconds from the start in which all that may hang has to answer. What has not by then is a finding."""
READING = 2.0
"""Seconds from the start in which the files have to be read."""
SAMPLE = "collectd.conf.d/virt2.conf"


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.description = (
        "Reads collectd's configuration with everything that it includes, looks at this host, and says what is wrong,"
        " where, and what to do. collectd need not run, and nothing is asked that can hang or freeze a guest. It ends"
        " within 3 s."
    )
    named = parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="files or folders of a configuration, read in this order as one. Without any, the first that exists of "
        + ", ".join(conffile.USUAL),
    )
    commands.complete_with(named, commands.FILES)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument(
        "--show-config",
        action="store_true",
        help="print every option of virt2 that is in force and where it comes from, instead of what is wrong",
    )


def run(arguments: argparse.Namespace) -> int:
    """Check a configuration and this host, print what is wrong, and give the exit status."""
    start = time.monotonic()
    named = arguments.files or _usual()
    try:
        configuration = Look("files", lambda: conffile.read(named)).result(start + READING)
    except TimeoutError:
        raise commands.CannotDo(
            f"The configuration was not read within {READING:g} s. It may be on storage that hangs, or an Include may"
            " match very many files. Name the files that you mean."
        ) from None
    collectd = effective.effective(configuration.nodes)
    traced = reading.trace(collectd.modules)
    if arguments.show_config:
        return _show(arguments.json, configuration, collectd, traced)
    found, about = list(_in_files(configuration, collectd, traced)), ""
    if collectd.imported is None:
        found += plugins_alone(collectd, start + BOUND)
    else:
        looked = Survey(collectd, traced.settings, start + BOUND)
        found += looked.findings(traced)
        about = looked.about
    findings = report.in_order(found)
    done = report.Report(findings, configuration.files, about, status_of(findings))
    if arguments.json:
        print(report.as_json(done))
    else:
        for line in report.text(done, report.columns()):
            print(line)
    return done.status


def _usual() -> Sequence[str]:
    """Give the configuration that collectd reads where nobody says otherwise."""
    usual = next((path for path in conffile.USUAL if os.path.exists(path)), None)
    if usual is None:
        raise commands.CannotDo(
            f"There is no configuration of collectd: {' and '.join(conffile.USUAL)} do not exist. Name the file, or"
            " install collectd."
        )
    return (usual,)


def _in_files(configuration: conffile.Configuration, collectd: Effective, traced: Traced) -> Iterator[Finding]:
    """Give what the files alone tell."""
    yield from configuration.findings
    yield from collectd.findings
    unreadable = {node.at for node in conffile.bytes_in(collectd.modules)}
    for at in sorted(unreadable):
        what = "this text is not UTF-8, and virt2 cannot read it"
        yield Finding(ERROR, what, "Save the file as UTF-8.", at, incomplete=True)
    for node in conffile.bytes_in(configuration.nodes):
        if node.at not in unreadable:
            what = f"the text behind {node.key} is not UTF-8, and its plugin is given it as it is"
            yield Finding(NOTE, what, "Save the file as UTF-8, unless that is meant.", node.at)
    strict = " collectd does not start, because StrictConfig is true." if traced.settings.strict else ""
    for problem in traced.problems:
        if problem.at not in unreadable:
            finding = _as_finding(problem)
            yield finding._replace(todo=finding.todo + strict) if problem.stops_strict else finding
    if not collectd.is_meant and not any(finding.incomplete for finding in configuration.findings):
        what = "nothing in this configuration imports virt2, so no domain is reported"
        todo = f"Copy {SAMPLE} into the folder that the configuration includes, and restart collectd."
        yield Finding(ERROR, what, todo)
    yield from side_by_side.side_by_side(collectd, traced.settings)
    yield from writers.writers(collectd)
    yield from threads.write_queue(collectd)
    if len(collectd.loaded) > 1 or collectd.options:
        # A drop-in alone loads no writer, and need not.
        yield from writers.no_writer(collectd)


def _show(is_json: bool, configuration: conffile.Configuration, collectd: Effective, traced: Traced) -> int:
    """Print the options in force, and give the exit status for what is wrong with them."""
    settings = show_config.settings_in_force(traced, collectd)
    found = [*configuration.findings, *collectd.findings]
    unread = [finding for finding in found if finding.incomplete]
    status = status_of([*unread, *map(_as_finding, traced.problems)])
    for finding in unread:
        print(next(report.lines(finding, None)), file=sys.stderr)
    if is_json:
        print(
            json.dumps(
                {
                    "version": 1,
                    "files": list(configuration.files),
                    "status": status,
                    "options": [
                        {
                            "option": one.option,
                            "instance": one.instance or None,
                            "value": one.value,
                            "file": one.at.file if one.at is not None else None,
                            "line": one.at.number if one.at is not None else None,
                        }
                        for one in settings
                    ],
                }
            )
        )
    else:
        for line in show_config.text(settings):
            print(line)
    return status


def _as_finding(problem: Problem) -> Finding:
    return Finding(ERROR if problem.severity == "error" else WARNING, problem.text, problem.todo, problem.at)
