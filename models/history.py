"""What a `fit` went through, epoch by epoch."""

import csv
import io
from collections.abc import Iterator, Mapping
from numbers import Real
from pathlib import Path
from types import MappingProxyType

from tapegrad.autograd.attributes import KeepsMethods
from tapegrad.autograd.diagnostics import plural
from tapegrad.autograd.replacing import replacing
from tapegrad.backends.install import install_line
from tapegrad.data.aliases import Frame
from tapegrad.models.aliases import Figure

MISSING = float("nan")


class History(KeepsMethods, Mapping[str, list[float]]):
    """The numbers of each epoch: `history["loss"]`, `history["val_accuracy"]`, …, one per epoch.

    A dict to be read: `in`, `keys()`, `items()` and `len()` work. A name that an epoch did not have is NaN there.

    Attributes:
        epoch: The epochs' numbers, from 0.
        history: The same as a dict, as in Keras.
        larger_is_better: Whether more of a metric is better, by its name; None where that is not known.
    """

    larger_is_better: Mapping[str, bool | None] = MappingProxyType({})

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []

    def append(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Add the numbers of an epoch.

        Args:
            epoch: Its number, from 0.
            logs: The numbers by name.
        """
        self.epoch.append(epoch)
        for values in self.history.values():
            values.append(MISSING)
        self.replace_last(logs)

    def replace_last(self, logs: Mapping[str, float]) -> None:
        """Write numbers of the last epoch again.

        Args:
            logs: The numbers by name; other names keep what they have.
        """
        for name, value in logs.items():
            values = self.history.setdefault(name, [])
            values.extend([MISSING] * (len(self.epoch) - len(values)))
            values[-1] = value

    def __getitem__(self, name: str) -> list[float]:
        if name not in self.history:
            raise KeyError(f"{name!r} was not measured, only {', '.join(self.history)}")
        return self.history[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.history)

    def __len__(self) -> int:
        return len(self.history)

    def __repr__(self) -> str:
        last = ", ".join(f"{name} {shown(values[-1])}" for name, values in self.history.items() if values)
        return f"<History of {plural(len(self.epoch), 'epoch')}{': ' * bool(last)}{last}>"

    def _repr_html_(self) -> str:
        from tapegrad.models.notebook import history_as_html

        return history_as_html(self)

    def to_csv(self, path: str | Path | None = None) -> str:
        """A text with one line per epoch, numbered from 1, under a header.

        Args:
            path: A file to write the text to, too.
        """
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

    def to_frame(self) -> Frame:
        """A pandas DataFrame, one row per epoch, whose index "epoch" counts from 1.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError(f"tables need pandas: {install_line('data')}") from error
        index = pandas.Index([epoch + 1 for epoch in self.epoch], name="epoch")
        return pandas.DataFrame(self.history, index=index)

    def plot(self, path: str | Path | None = None, title: str = "") -> Figure:
        """Curves of the loss and of each metric, training and validation together, as a matplotlib Figure.

        What has no finite number is left out.

        Args:
            path: A file to save the figure to, too; its ending names the format, and without one it is PNG.
            title: A title above the curves.

        Raises:
            ImportError: matplotlib is not installed.
            ValueError: There is nothing to show.
        """
        from tapegrad.models.plotting import plot_history

        figure = plot_history(self.history, [epoch + 1 for epoch in self.epoch], title)
        if path is not None:
            target = Path(path) if Path(path).suffix else Path(f"{path}.png")
            with replacing(target, "plot") as temporary:
                figure.savefig(temporary, format=target.suffix[1:])
        return figure


def shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, Real) else str(value)
