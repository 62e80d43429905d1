"""The pictures of `tapegrad compare`."""

from pathlib import Path

import numpy as np

from tapegrad.cli.compare import Result
from tapegrad.data.target import TargetEncoder
from tapegrad.models.aliases import Axes, Figure
from tapegrad.models.plotting import GRID, INK, INSTALL

COLOURS = ("#2a5d9f", "#d1602b", "#3a8f5c", "#8a5aa8", "#b0872b")
MOST_CLASSES = 15  # of a confusion matrix


def draw(
    folder: Path, results: list[Result], score: str, truth: np.ndarray, target: TargetEncoder, title: str
) -> None:
    """learning_curves.png, and of classes roc.png and confusion.png, of numbers residuals.png."""
    save(learning_curves(results, score, title), folder / "learning_curves.png")
    if target.classes is None:
        save(residuals(results, truth, title), folder / "residuals.png")
        return
    save(roc(results, truth, len(target.classes), title), folder / "roc.png")
    if len(target.classes) <= MOST_CLASSES:
        save(confusion(results, truth, target.classes, title), folder / "confusion.png")


def save(figure: Figure, path: Path) -> None:
    figure.savefig(path)


def new_figure(panels: int, title: str, size: float = 4.2, height: float = 4.2) -> tuple[Figure, list[Axes]]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(INSTALL) from error
    columns = min(3, panels)
    lines = -(-panels // columns)
    figure = Figure(figsize=(size * columns, height * lines + 0.4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, color=INK, fontsize=11)
    axes = list(figure.subplots(lines, columns, squeeze=False).flat)
    for empty in axes[panels:]:
        empty.set_axis_off()
    return figure, axes[:panels]


def styled(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, loc="left", color=INK, fontweight="bold", fontsize=10)
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRID)
    axes.tick_params(colors=INK, length=0)


def learning_curves(results: list[Result], score: str, title: str) -> Figure:
    figure, (axes,) = new_figure(1, f"{title}: learning curves on the first fold", size=6.5)
    for colour, result in zip(COLOURS, results):
        rows, values = zip(*result.curve)
        axes.plot(rows, values, color=colour, label=result.label, linewidth=1.8, marker="o", markersize=4)
    styled(axes, "", "training rows", f"test {score}")
    if score == "R2":  # a model that fails on few rows would hide the others
        lowest = min(min(value for _, value in result.curve) for result in results)
        axes.set_ylim(bottom=max(lowest - 0.05, -1.0))
    axes.legend(frameon=False, labelcolor=INK)
    return figure


def roc(results: list[Result], truth: np.ndarray, classes: int, title: str) -> Figure:
    """Of two classes the curve of the second; of more, each row and class counts as one decision."""
    from sklearn.metrics import roc_curve

    many = "" if classes == 2 else ", all classes together"
    figure, (axes,) = new_figure(
        1, f"{title}: ROC of the rows when they were tested{many}", size=5.4, height=5.0
    )
    for colour, result in zip(COLOURS, results):
        outputs = result.outputs
        if classes == 2:
            hit, value = truth == 1, outputs[:, 1]
        else:
            hit, value = (truth[:, None] == np.arange(classes)).ravel(), outputs.ravel()
        false, true, _ = roc_curve(hit, value)
        axes.plot(
            false,
            true,
            color=colour,
            label=f"{result.label} ({np.trapezoid(true, false):.3f})",
            linewidth=1.8,
        )
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle="--")
    styled(axes, "", "false positives", "true positives")
    axes.legend(
        frameon=False, labelcolor=INK, loc="lower right", title="area under the curve", alignment="left"
    )
    return figure


def confusion(results: list[Result], truth: np.ndarray, classes: list[str], title: str) -> Figure:
    """Each model's matrix: the shares of a true class, and in the cells the counts."""
    size = max(3.2, 0.55 * len(classes) + 1.6)
    figure, panels = new_figure(len(results), f"{title}: confusion, each row when it was tested", size, size)
    names = [name if len(name) <= 12 else f"{name[:11]}…" for name in classes]
    for axes, result in zip(panels, results):
        best = result.outputs.argmax(axis=1)
        counts = np.zeros((len(classes), len(classes)), int)
        np.add.at(counts, (truth, best), 1)
        shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (i, j), count in np.ndenumerate(counts):
            colour = "white" if shares[i, j] > 0.55 else INK
            axes.text(j, i, str(count), ha="center", va="center", color=colour, fontsize=9)
        axes.set_xticks(range(len(names)), names, rotation=45 if max(map(len, names)) > 4 else 0, ha="right")
        axes.set_yticks(range(len(names)), names)
        styled(axes, result.label, "predicted", "true")
        axes.grid(visible=False)
    return figure


def residuals(results: list[Result], truth: np.ndarray, title: str) -> Figure:
    figure, panels = new_figure(
        len(results), f"{title}: prediction - truth, each row when it was tested", height=3.4
    )
    every = np.concatenate([result.outputs - truth for result in results])
    low, high = np.percentile(every, (0.5, 99.5))
    reach = max(abs(low), abs(high)) or 1.0
    for axes, colour, result in zip(panels, COLOURS, results):
        errors = result.outputs - truth
        axes.axhline(0, color="#999999", linewidth=1)
        axes.scatter(result.outputs, errors, s=9, color=colour, alpha=0.5, linewidths=0)
        outside = int((np.abs(errors) > 1.1 * reach).sum())
        axes.set_ylim(-1.1 * reach, 1.1 * reach)
        axes.set_xlim(*np.percentile(every + np.tile(truth, len(results)), (0.2, 99.8)))
        styled(axes, result.label, "prediction", "prediction - truth")
        if outside:
            axes.annotate(
                f"{outside} outside", (0.99, 0.97), xycoords="axes fraction", ha="right", va="top", color=INK
            )
    return figure
