"""The time of a training step of all networks in one picture: a row for each network, JAX's time as the unit."""

import json
from pathlib import Path
from typing import Any

from benchmarks.harness import ratio
from benchmarks.steps import EAGER, JAX, NATIVE, NUMPY, TORCH

# job -> what its row is called
ROWS = {
    "step_small": "MLP 30-64-32-1\nbatch 32",
    "step_medium": "MLP 784-512-256-10\nbatch 128",
    "step_large": "MLP 1024-2048-2048-1000\nbatch 512",
    "logistic": "logistic regression\n4096 rows of 100",
    "rnn_50": "RNN of 50 steps\n16 units, batch 8",
    "dense_100": "100 Dense layers\n16 units, batch 8",
    "cnn": "CNN, 32 and 64 filters\n64 images of 28 x 28",
    "lstm": "LSTM of 128 units, 50 steps\nbatch 32",
    "encoder": "transformer's encoder layer\n128 wide, 16 x 64 places",
    "gpt": "GPT of 2 layers\n128 wide, 16 x 64 letters",
    "gpt_4": "GPT of 4 layers\n128 wide, 16 x 64 letters",
}
# Colours told apart by readers with any colour vision (M. Okabe and K. Ito, "Color Universal Design", 2008), and marks.
DOTS = {
    NATIVE: ("#D55E00", "o", "tapegrad, native"),
    NUMPY: ("#0072B2", "s", "tapegrad, NumPy"),
    EAGER: ("#56B4E9", "D", "tapegrad without tg.jit"),
    JAX: ("#555555", "|", "JAX jit"),
    TORCH: ("#009E73", "^", "PyTorch eager"),
}


def measured(results: dict[str, Path]) -> dict[str, dict[str, tuple[float, float, float]]]:
    """job -> contestant -> time as a multiple of JAX's: median, lowest, highest of the rounds."""
    found = {}
    for job in ROWS:
        if job in results:
            samples = json.loads(results[job].read_text(encoding="utf-8"))["cases"][0]["samples"]
            there = [name for name in DOTS if name in samples]
            found[job] = {name: ratio(samples[name], samples[JAX], "step") for name in there}
    return found


def draw(results: dict[str, Path], path: Path) -> None:
    """`results`: the newest JSON of each job."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = measured(results)
    machine = json.loads(results[next(iter(rows))].read_text(encoding="utf-8"))["machine"]
    plt.rcParams.update({"font.size": 11, "svg.hashsalt": "speed", "svg.fonttype": "none"})
    figure, axis = plt.subplots(figsize=(10, 0.75 + 0.62 * len(rows)))
    for place, ratios in enumerate(rows.values()):
        row(axis, place, ratios)
    axis.set(xscale="log", ylim=(len(rows) - 0.5, -0.5))
    axis.set_yticks(range(len(rows)), [ROWS[job] for job in rows])
    ticks = [
        t
        for t in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20)
        if axis.get_xlim()[0] <= t <= axis.get_xlim()[1]
    ]
    axis.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axis.minorticks_off()
    axis.set_xlabel("time of one training step, as a multiple of JAX's (less is faster)")
    axis.grid(axis="x", alpha=0.3)
    axis.axvline(1, color=DOTS[JAX][0], linewidth=1)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(left=False)
    handles = [
        plt.Line2D([], [], color=colour, marker=mark, linestyle="", label=label)
        for colour, mark, label in DOTS.values()
    ]
    figure.legend(
        handles=handles, ncols=len(DOTS), loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False
    )
    axis.set_title(f"one core of {machine['cpu']}, {machine['vectors']}, {machine['date'][:10]}", fontsize=10)
    figure.tight_layout()
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


def row(axis: Any, place: int, ratios: dict[str, tuple[float, float, float]]) -> None:
    """The dots of one network, each with its spread over the rounds."""
    middles = [middle for middle, _, _ in ratios.values()]
    axis.plot([min(middles), max(middles)], [place, place], color="#dddddd", linewidth=1, zorder=0)
    for name, (middle, low, high) in ratios.items():
        colour, mark, _ = DOTS[name]
        spread = {"linewidth": 3, "alpha": 0.35, "solid_capstyle": "round", "zorder": 1}
        axis.plot([low, high], [place, place], color=colour, **spread)
        size, height = 11 if mark == "|" else 7, 3 if name == NATIVE else 2
        axis.plot(middle, place, color=colour, marker=mark, markersize=size, zorder=height)
