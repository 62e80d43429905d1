"""One line per epoch: a bar while it runs (on a terminal), the loss and the metrics at its end."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import TextIO

import numpy as np

from tapegrad.autograd.aliases import Array
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends import backend_of
from tapegrad.data.metric_base import one_number, raw
from tapegrad.data.metrics import Metric

SHORTEST_BAR, LONGEST_BAR = 8, 20
CYAN, DIM, PLAIN = "\x1b[36m", "\x1b[2m", "\x1b[0m"
REDRAW_SECONDS = 0.1
COUNTED_TOGETHER = 1024  # rows


def number(value: float) -> str:
    """0.0712, 12.35, 3.1e-05, 1.7e+06: four digits or so, and never wide."""
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.1e}"


def duration(seconds: float) -> str:
    return f"{seconds * 1e3:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def described(logs: dict[str, float], between: str = "  ") -> str:
    return between.join(f"{name} {number(value)}" for name, value in logs.items())


def columns() -> int:
    return shutil.get_terminal_size().columns or 80


class Progress:
    """verbose 0: silent; 1: a bar that is redrawn on a terminal, elsewhere as 2; 2: one plain line per epoch.

    The bar has no colours where the environment variable NO_COLOR is set (no-color.org).

    steps   the number of batches; None where nobody knows it

    Silent, too, where there is no stdout (programs without a console), or where it was closed.
    """

    def __init__(self, verbose: int | str, steps: int | None) -> None:
        if verbose not in ("auto", 0, 1, 2):
            raise ValueError(f"verbose: expected 0, 1, 2 or 'auto', got {verbose!r}")
        self.out: TextIO = sys.stdout
        self.verbose = 0 if self.out is None else 1 if verbose == "auto" else int(verbose)
        self.live = self.verbose == 1 and is_terminal(self.out)
        self.steps = steps
        self.due = 0.0

    def begin(self, label: str) -> None:
        self.start = time.perf_counter()
        self.due = self.start + REDRAW_SECONDS if self.live else float("inf")
        self.label = label

    def step(self, done: int, logs: Callable[[], dict[str, float]]) -> None:
        """After a batch; `logs` is only called when the bar is redrawn."""
        if time.perf_counter() >= self.due:
            self._draw(done, described(logs()))
            self.due = time.perf_counter() + REDRAW_SECONDS

    def end(self, logs: dict[str, float]) -> None:
        if not self.verbose:
            return
        seconds = duration(time.perf_counter() - self.start)
        text = f"{described(logs)}  {seconds}"
        if not self.live:
            self._write(f"{self.label}  {text}\n")
        elif (line := self._line(self.steps, text)) is not None:
            self._write(f"\r{line}\x1b[K\n")
        else:
            # This line may wrap, since nothing is drawn over it later.
            self._write(f"\r{self.label} {described(logs, ' ')}\x1b[K\n")

    def abort(self) -> None:
        """An epoch ends early: leave what is drawn and go to the next line."""
        if self.live:
            self._write("\n")

    def _draw(self, done: int, text: str) -> None:
        of = "" if self.steps is None else f"/{self.steps}"
        line = self._line(done, text) or f"{self.label} {done}{of}  {text}"[: max(columns() - 1, 0)]
        self._write(f"\r{line}\x1b[K")

    def _line(self, done: int | None, text: str) -> str | None:
        """Label, bar, count and text, with as long a bar as there is room for, or none; None if it does not fit."""
        if self.steps is None or done is None:
            count = "" if done is None else f"{done} batches  "
            line = f"{self.label}  {count}{text}"
            return line if len(line) < columns() else None
        count = f"{done:>{len(str(self.steps))}}/{self.steps}"
        room = columns() - len(f"{self.label}  {count}  {text}") - 1
        if room < SHORTEST_BAR:
            return f"{self.label}  {text}" if room + len(count) > 0 else None
        size = min(room, LONGEST_BAR)
        filled = size * min(done, self.steps) // self.steps
        return f"{self.label} {self._bar(filled, size - filled)} {count}  {text}"

    def _bar(self, done: int, left: int) -> str:
        """What is done and what is left, told apart by colours, or by the marks where none are wanted."""
        mark, pale = "=-"
        if (getattr(self.out, "encoding", "") or "").lower().startswith("utf"):
            mark, pale = "━╌"
        if os.environ.get("NO_COLOR"):
            return mark * done + pale * left
        return f"{CYAN}{mark * done}{DIM}{mark * left}{PLAIN}"

    def _write(self, text: str) -> None:
        """A training does not end because nobody reads its progress."""
        try:
            self.out.write(text)
        except UnicodeEncodeError:  # the name of a metric
            encoding = getattr(self.out, "encoding", None) or "ascii"
            self.out.write(text.encode(encoding, "replace").decode(encoding))
        except (OSError, ValueError):  # closed, or the other end of a pipe
            self.verbose, self.live, self.due = 0, False, float("inf")
            return
        flush = getattr(self.out, "flush", None)
        if flush is not None:
            try:
                flush()
            except (OSError, ValueError):
                self.verbose, self.live, self.due = 0, False, float("inf")


def is_terminal(stream: TextIO) -> bool:
    """Whether a line can be drawn over: on a terminal, and in a notebook, whose stdout says that it is none. A terminal
    that knows no escapes calls itself dumb."""
    if os.environ.get("TERM") == "dumb":
        return False
    if type(stream).__module__ == "ipykernel.iostream":
        return True
    try:
        return bool(stream.isatty())
    except (AttributeError, OSError, ValueError):  # an object of a user's, or a closed stream
        return False


# Metrics that a measurement adds to: another one that begins meanwhile, as by `evaluate` in a callback, has copies.
IN_USE: set[int] = set()


class Running:
    """The loss and the metrics of the rows so far. Nothing leaves the device before `logs`."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self.total: Array = 0
        self.rows = 0
        self.given = metrics
        self.metrics: Sequence[Metric] = ()
        self.waiting: list[tuple[Array, Array]] = []  # batches that metrics which count have not seen yet
        self.waiting_rows = 0

    def __enter__(self) -> "Running":
        self.metrics = [deepcopy(metric) if id(metric) in IN_USE else metric for metric in self.given]
        IN_USE.update(map(id, self.metrics))
        for metric in self.metrics:
            metric.reset()
        return self

    def __exit__(self, *error: object) -> None:
        IN_USE.difference_update(map(id, self.metrics))
        for metric in self.metrics:
            metric.final = True

    def update(self, loss: Tensor, outputs: Tensor, targets: Tensor, together: bool = False) -> None:
        """Take in a batch. together: nobody writes into its outputs and targets, and others have rows of that shape, so
        that several may be counted at once, which takes as long as one."""
        rows = outputs.shape[0]
        loss._read("the loss of fit or evaluate", "Call it outside.")
        self.total = self.total + sum_of(loss.data) * rows
        self.rows += rows
        late = False
        for metric in self.metrics:
            if together and metric.is_count:
                late = True
            else:
                metric.update(raw(outputs), raw(targets))
        if late:
            self.waiting.append((raw(outputs), raw(targets)))
            self.waiting_rows += rows
            if self.waiting_rows >= COUNTED_TOGETHER:
                self.catch_up()

    def catch_up(self) -> None:
        """Count the batches that wait."""
        if not self.waiting:
            return
        concat = backend_of(self.waiting[0][0]).xp.concat
        outputs, targets = (concat(column) for column in zip(*self.waiting))
        self.waiting, self.waiting_rows = [], 0
        for metric in self.metrics:
            if metric.is_count:
                metric.update(outputs, targets)

    def so_far(self) -> dict[str, float]:
        """`logs` in the middle of a pass: of a metric that is not defined yet nothing is said."""
        return self.logs(final=False)

    def logs(self, final: bool = True) -> dict[str, float]:
        self.catch_up()
        for metric in self.metrics:
            metric.final = final
        loss = float(self.total) / self.rows if self.rows else float("nan")
        return {"loss": loss, **{m.name: one_number(m.name, m.result()) for m in self.metrics}}


def sum_of(loss: Array) -> Array:
    """The loss of a batch, or of its elements the sum, in float64."""
    if type(loss) is np.ndarray and not loss.ndim:  # as almost always on the CPU: ten times as fast
        return float(loss)
    xp = backend_of(loss).xp
    return xp.astype(xp.sum(loss) if loss.ndim else loss, xp.float64)
