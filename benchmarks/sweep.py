"""How the time of a training step grows with the width, the depth and the batch of an MLP, one at a time around a
middle point (3 hidden layers of 256, batch 128; as many features as the width, 10 classes, Adam, float32), on one core.
The bare matrix products are the limit that no step goes below while it uses the same BLAS. In a round the contestants
take turns at each point; the figures are medians over the rounds.
"""

import json
import math
import statistics
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.harness import Case, Contestant
from benchmarks.networks import CONTESTANTS, Task
from benchmarks.steps import time_steps

MIDDLE = {"width": 256, "depth": 3, "batch": 128}
FACTORS = {
    "width": (32, 64, 128, 256, 512, 1024, 2048),
    "depth": (1, 2, 3, 4, 8),
    "batch": (8, 32, 128, 512, 4096),
}
# colours told apart by readers with any colour vision (M. Okabe and K. Ito, "Color Universal Design", 2008)
COLOURS = {
    "tapegrad": "#56B4E9",
    "tapegrad jit, NumPy": "#0072B2",
    "tapegrad jit, native": "#D55E00",
    "PyTorch eager": "#009E73",
    "JAX jit": "#CC79A7",
    "bare matrix products": "#000000",
}


def key(factor: str, value: int) -> str:
    return "middle" if MIDDLE[factor] == value else f"{factor} {value}"


def task(point: dict[str, int]) -> Task:
    return Task((point["width"],) * (point["depth"] + 1) + (10,), point["batch"])


POINTS = {key(f, value): {**MIDDLE, f: value} for f, values in FACTORS.items() for value in values}


def measure(names: list[str]) -> dict[str, dict[str, float]]:
    """Of each contestant, µs per step at each point."""
    figures: dict[str, dict[str, float]] = {name: {} for name in names}
    for title, point in POINTS.items():
        built = {name: CONTESTANTS[name][1](task(point)) for name in names}
        for name, found in time_steps(built, warm_up=0.05, turns=5, learned=math.inf).items():
            figures[name][title] = found["step"]
    return figures


CASES = (
    Case(
        title="One core, µs per step",
        contestants=tuple(Contestant(name, (), needs=CONTESTANTS[name][0]) for name in COLOURS),
        columns={name: "width 256, depth 3, batch 128" if name == "middle" else name for name in POINTS},
        cores=1,
        rounds=3,
        warm=True,
        together=("-m", "benchmarks.sweep"),
        upright=True,
    ),
)


def apart(heights: list[float], least: float) -> list[float]:
    """The heights moved as little as needs be, in their order, until neighbours are `least` apart."""
    order = sorted(range(len(heights)), key=heights.__getitem__)
    moved = list(heights)
    for _ in range(200):
        for low, high in pairwise(order):
            if (overlap := least - (moved[high] - moved[low])) > 0:
                moved[low] -= overlap / 2
                moved[high] += overlap / 2
    return moved


def draw(results: Path) -> Path:
    """The picture of a sweep's JSON, beside it: `python -m benchmarks.sweep draw <date>-sweep.json` draws it again."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    data = json.loads(results.read_text())
    samples: dict[str, Any] = data["cases"][0]["samples"]
    plt.rcParams.update({"font.size": 11, "svg.hashsalt": "sweep", "svg.fonttype": "none"})
    figure, axes = plt.subplots(1, 3, figsize=(14, 5.2), sharey=True)
    for axis, factor in zip(axes, FACTORS, strict=True):
        panel(axis, factor, samples)
    axes[0].set_ylabel("time of one training step, ms")
    name_lines(axes[2], samples)
    machine = data["machine"]
    figure.suptitle(
        f"One training step of an MLP, one core of {machine['cpu']}, {machine['vectors']}, {machine['date'][:10]}",
        fontsize=11,
    )
    figure.tight_layout()
    path = results.with_suffix(".svg")
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    return path


def panel(axis: Any, factor: str, samples: dict[str, Any]) -> None:
    """The lines of all contestants over one factor."""
    values = FACTORS[factor]
    for name, runs in samples.items():
        ms = [statistics.median(run[key(factor, value)] for run in runs) / 1e3 for value in values]
        style = {"linestyle": "--"} if name == "bare matrix products" else {"marker": "o", "markersize": 4}
        axis.plot(values, ms, color=COLOURS[name], **style)
    others = ", ".join(f"{other} {value}" for other, value in MIDDLE.items() if other != factor)
    axis.set(title=f"{factor} ({others})", xlabel=factor, xscale="log", yscale="log")
    axis.set_xticks(values, [str(value) for value in values])
    axis.minorticks_off()
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)


def name_lines(axis: Any, samples: dict[str, Any]) -> None:
    """Each contestant's name at the end of its line."""
    ends = {
        name: statistics.median(run["batch 4096"] for run in runs) / 1e3 for name, runs in samples.items()
    }
    low, high = axis.get_ylim()
    heights = apart([math.log10(end) for end in ends.values()], 0.05 * math.log10(high / low))
    for name, height in zip(ends, heights, strict=True):
        axis.annotate(
            name,
            (FACTORS["batch"][-1], 10**height),
            xytext=(10, 0),
            textcoords="offset points",
            color=COLOURS[name],
            va="center",
            annotation_clip=False,
        )


if __name__ == "__main__":
    if sys.argv[1] == "draw":
        print(draw(Path(sys.argv[2])))
    else:
        print(json.dumps(measure(sys.argv[1:])))
