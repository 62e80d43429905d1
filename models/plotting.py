"""Pictures, by matplotlib: imported when one is asked for, and without pyplot, so there is no window and no state."""

import math
from collections.abc import Sequence
from numbers import Real

from tapegrad.backends.install import install_line
from tapegrad.models.aliases import Axes, Figure

INSTALL = f"pictures need matplotlib: {install_line('plot')}"
PANELS = 4  # in a row
TRAINING, VALIDATION, INK, GRID = "#2a5d9f", "#d1602b", "#333333", "#e4e4e4"


def finite(values: Sequence[object] | None) -> bool:
    """Whether there is a number that can be drawn."""
    return any(isinstance(value, Real) and math.isfinite(value) for value in values or ())


def plot_history(history: dict[str, list[float]], epochs: list[int], title: str = "") -> Figure:
    """A Figure with one panel for the loss and one for each metric."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(INSTALL) from error

    names = [
        name
        for name in dict.fromkeys(name.removeprefix("val_") for name in history)
        if finite(history.get(name)) or finite(history.get(f"val_{name}"))
    ]
    if not names:
        raise ValueError(
            "plot: there is nothing to show: "
            + (f"no number of {', '.join(history)} is finite" if history else "no epoch was trained")
        )
    columns = min(len(names), PANELS)
    lines = math.ceil(len(names) / columns)
    width, height = 5.0 * columns, 3.9 * lines
    figure = Figure(figsize=(width, height), dpi=110)
    FigureCanvasAgg(figure)
    # Margins in inches; matplotlib's own layout would draw everything twice.
    between = {"wspace": 0.17, "hspace": 0.45}
    figure.subplots_adjust(0.6 / width, 0.55 / height, 1 - 0.2 / width, 1 - 0.8 / height, **between)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes in panels[len(names) :]:
        axes.remove()
    for axes, name in zip(panels, names):
        draw_curves(axes, epochs, history.get(name), history.get(f"val_{name}"))
        style(axes, name.replace("_", " "))
        if len(epochs) == 1:  # matplotlib would show a tenth of an epoch
            axes.set_xlim(epochs[0] - 0.5, epochs[0] + 0.5)
    if title:
        figure.suptitle(title, color=INK, fontsize=11, y=1 - 0.12 / height, va="top")
    return figure


def draw_curves(
    axes: Axes, epochs: list[int], training: list[float] | None, validation: list[float] | None
) -> None:
    """The numbers of each epoch as a line, one for each of the two that has some.

    That of the validation goes from one epoch that was validated to the next."""
    curves = [("training", TRAINING, epochs, training)]
    if validation:
        known = [(epoch, value) for epoch, value in zip(epochs, validation) if math.isfinite(value)]
        curves.append(
            ("validation", VALIDATION, [epoch for epoch, _ in known], [value for _, value in known])
        )
    for label, colour, x, values in curves:
        if finite(values):
            marker = "o" if len(x) <= 30 else ""
            axes.plot(x, values, color=colour, label=label, linewidth=1.8, marker=marker, markersize=3.5)


def style(axes: Axes, title: str) -> None:
    """The panel's title, axis, grid and legend, without a frame."""
    axes.set_title(title, loc="left", color=INK, fontweight="bold")
    axes.set_xlabel("epoch", color=INK)
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRID)
    axes.tick_params(colors=INK, length=0)
    axes.legend(frameon=False, labelcolor=INK)
