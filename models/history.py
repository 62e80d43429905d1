"""What a `fit` went through, epoch by epoch."""

import csv
import io
from pathlib import Path
from typing import Any

from tapegrad.autograd.replacing import replacing


class History:
    """`history["loss"]`, `history["val_accuracy"]`, …: one number per epoch; `epoch`: their numbers, from 0."""

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []

    def append(self, epoch: int, logs: dict[str, float]) -> None:
        self.epoch.append(epoch)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)

    def __repr__(self) -> str:
        last = ", ".join(f"{name} {values[-1]:.4g}" for name, values in self.history.items())
        return f"<History of {len(self.epoch)} epochs{': ' * bool(last)}{last}>"

    def to_csv(self, path: str | Path | None = None) -> str:
        """One line per epoch (numbered from 1) under a header; written to `path` if given, and returned."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["epoch", *self.history])
        writer.writerows(
            [epoch + 1, *values] for epoch, values in zip(self.epoch, zip(*self.history.values()))
        )
        if path is not None:
            with replacing(path, "to_csv") as temporary:
                Path(temporary).write_text(text.getvalue(), encoding="utf-8")
        return text.getvalue()

    def plot(self, path: str | Path | None = None, title: str = "") -> Any:
        """Curves of the loss and of each metric, training beside validation, as a matplotlib Figure; saved to `path`
        if given. ImportError without matplotlib."""
        from tapegrad.models.plotting import plot_history

        figure = plot_history(self.history, [epoch + 1 for epoch in self.epoch], title)
        if path is not None:
            target = Path(path) if Path(path).suffix else Path(f"{path}.png")
            with replacing(target, "plot") as temporary:
                figure.savefig(temporary, format=target.suffix[1:])
        return figure
