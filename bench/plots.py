"""The figures as SVG, the same bytes for the same figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot

from bench import figures
from bench.figures import Rows

# Nothing that differs from run to run: no date, no random element names; text stays text.
matplotlib.rcParams["svg.hashsalt"] = "virt2"
matplotlib.rcParams["svg.fonttype"] = "none"
METADATA = {"Date": None, "Creator": None}

STYLES = {
    figures.C_PLUGIN: {"color": "tab:red", "marker": "o"},
    figures.VIRT2: {"color": "tab:blue", "marker": "o"},
    figures.FLOOR: {"color": "tab:gray", "marker": ".", "linestyle": ":"},
    figures.C_EXTRA: {"color": "tab:red", "marker": "s", "linestyle": "--"},
    figures.VIRT2_EXTRA: {"color": "tab:blue", "marker": "s", "linestyle": "--"},
    figures.BULK: {"color": "tab:olive", "marker": "x", "linestyle": "-."},
    figures.STUCK: {"color": "tab:cyan", "marker": "x", "linestyle": "-."},
}
PARTS = (("libvirtd", "libvirtd", "tab:orange"), ("QEMUs", "qemus", "tab:green"), ("collectd", "own", "tab:purple"))
"""What CPU is used by: label, field of a row, colour."""


def cycle(sizes: Mapping[int, Rows], path: Path) -> None:
    """Wall time of a cycle and the CPU it takes, by number of domains."""
    figure, (wall, cpu) = pyplot.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    for name, style in STYLES.items():
        spreads = [rows[name].wall for rows in sizes.values()]
        errors = [[s.median - s.low for s in spreads], [s.high - s.median for s in spreads]]
        wall.errorbar(list(sizes), [s.median for s in spreads], errors, label=name, capsize=2, linewidth=1.2, **style)
    wall.set(title="wall time of a cycle", xlabel="domains", ylabel="s", ylim=(0, None), xticks=list(sizes))
    wall.legend(fontsize="small")
    places = range(len(sizes))
    for offset, name in ((-0.2, figures.C_PLUGIN), (0.2, figures.VIRT2)):
        bottom = [0.0] * len(sizes)
        for label, field, color in PARTS:
            heights = [max(0.0, getattr(rows[name], field).median) for rows in sizes.values()]
            cpu.bar([place + offset for place in places], heights, 0.36, bottom, color=color, edgecolor="white",
                    label=label if name == figures.VIRT2 else None)  # fmt: skip
            bottom = [low + height for low, height in zip(bottom, heights)]
        for place, top in zip(places, bottom):
            cpu.text(place + offset, top, "C" if name == figures.C_PLUGIN else name, ha="center", va="bottom", size=8)
    cpu.set(title="CPU of a cycle: C plugin and virt2", xlabel="domains", ylabel="s")
    cpu.set_xticks(list(places), [str(size) for size in sizes])
    cpu.legend(fontsize="small", loc="upper left")
    _save(figure, path)


def soak(samples: Sequence[Mapping[str, float]], path: Path) -> None:
    """Memory, threads and descriptors over the cycles of a soak; each sample has these and `cycle`."""
    figure, plots = pyplot.subplots(3, 1, figsize=(8, 5), sharex=True, layout="constrained")
    cycles = [sample["cycle"] for sample in samples]
    for plot, (field, title) in zip(
        plots, (("rss", "memory (RSS), MiB"), ("threads", "threads"), ("descriptors", "file descriptors"))
    ):
        plot.plot(cycles, [sample[field] for sample in samples], linewidth=1)
        plot.set(ylim=(0, None))
        plot.set_title(title, size=9, loc="left")
    plots[-1].set(xlabel="cycles")
    _save(figure, path)


def _save(figure: pyplot.Figure, path: Path) -> None:
    figure.savefig(path, format="svg", metadata=METADATA)
    pyplot.close(figure)
