"""Stories of runs for the tests: what a virt2 without faults would have written, to be changed by a test."""

from __future__ import annotations

from tests.chaos.model import (
    DISK,
    DISK_TYPES,
    INTERVAL,
    MEMORY_TOTAL,
    MONITOR_BLOCKED,
    NIC,
    NIC_TYPES,
    SAMPLE_AGE,
    Deed,
    Device,
    Held,
    Life,
    Line,
    Run,
    Story,
    Usage,
    kind_of,
)
from tests.chaos.truth import Readings

BEGAN = 1_000_000.0
SECONDS = 120.0
MEMORY = 16 << 20


def life(name="one", began=BEGAN - 5, storage="", **changes):
    found = Life(name, f"uuid-of-{name}-{began:g}", storage, began, MEMORY, pid=1, up=began + 1)
    found.devices = [Device(DISK, "vda", began), Device(NIC, f"nic-{name}", began)]
    for key, value in changes.items():
        setattr(found, key, value)
    return found


def deed(kind, begin, end, *targets, detail=""):
    """One that was in force half a second after it began, times in seconds since the begin of the run."""
    return Deed(kind, targets, detail, BEGAN + begin, BEGAN + begin + 0.5, BEGAN + end - 0.5, BEGAN + end)


def truth_at(when):
    """What every counter has at a time: one more every second."""
    return int(when - BEGAN + 100)


def values_of(name, when):
    if name == MEMORY_TOTAL:
        return (float(MEMORY),)
    if name in (MONITOR_BLOCKED, SAMPLE_AGE):
        return (0.0,)
    if name == "virt_cpu_total":
        return (float(truth_at(when)) * 1e9,)
    return (float(truth_at(when)), float(truth_at(when)))


def points(name, begin, end, every=INTERVAL):
    number = int((end - begin) / every)
    return [(begin + n * every, values_of(name, begin + n * every)) for n in range(number + 1)]


def story(*lives, **changes):
    """A run of two minutes in which all went well."""
    lives = lives or (life("one"), life("two"))
    end = BEGAN + SECONDS
    found = Story(BEGAN, end, lives=list(lives), runs=[Run(BEGAN - 4, end, 0.1, 0)])
    found.calms = [(BEGAN, BEGAN + 10), (end - 20, end)]
    found.held = [Held(BEGAN + n, BEGAN + n, 3, 20) for n in range(int(SECONDS))]
    found.usage = [Usage(BEGAN + n, 7, 50, 20, 30_000) for n in range(int(SECONDS))]
    found.log = [Line(BEGAN, "[info] virt2: version 0, 2 domains every 2 s")]
    series = {}
    for one in lives:
        for name in one.series():
            own = points(name, max(one.up, BEGAN) + 0.5, min(one.leaving, end))
            series[one.name, "virt2", name] = [*series.get((one.name, "virt2", name), ()), *own]
    series["collectd", "virt2-0", "duration-read"] = [(BEGAN + n * INTERVAL, (0.05,)) for n in range(60)]
    series["collectd", "virt2-libvirtd", "gauge-budget"] = [(BEGAN + n * INTERVAL, (10.0,)) for n in range(60)]
    found.series = series
    for key, value in changes.items():
        setattr(found, key, value)
    return found


def readings(_life, name):
    """What a witness saw that looked five times a second."""
    found = Readings()
    for n in range(int(SECONDS * 5) + 200):
        when = BEGAN - 10 + n / 5
        value = truth_at(when) * (10**9 if name == "virt_cpu_total" else 1)
        number = 1 if name == "virt_cpu_total" else 2
        found.add(when, when + 0.001, (value,) * number)
    return found


def drop(found, host, begin, end, *kinds):
    """Take points out, times in seconds since the begin of the run."""
    for (there, by, name), own in found.series.items():
        if there == host and (not kinds or kind_of(name) in kinds):
            found.series[there, by, name] = [point for point in own if not BEGAN + begin <= point[0] <= BEGAN + end]


def change(found, host, name, at, values=None, when=None):
    """Change the first point at or after a time, in seconds since the begin of the run."""
    own = list(found.series[host, "virt2", name])
    index = next(n for n, point in enumerate(own) if point[0] >= BEGAN + at)
    own[index] = (own[index][0] if when is None else BEGAN + when, own[index][1] if values is None else values)
    found.series[host, "virt2", name] = own


def names_of_series(one):
    return {f"{kind}-vda" for kind in DISK_TYPES} | {f"{kind}-nic-{one}" for kind in NIC_TYPES}
