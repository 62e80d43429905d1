"""One line per epoch: a bar while it runs (on a terminal), the loss and the metrics at its end."""

import shutil
import sys
import time
from collections.abc import Callable
from typing import Any

BAR = 20
REDRAW_SECONDS = 0.1


def number(value: float) -> str:
    """0.0712, 12.35, 3.1e-05, 1.7e+06: four digits or so, and never wide."""
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.1e}"


def described(logs: dict[str, float]) -> str:
    return "  ".join(f"{name} {number(value)}" for name, value in logs.items())


class Progress:
    """verbose 0: silent; 1: a bar that is redrawn on a terminal, elsewhere as 2; 2: one plain line per epoch."""

    def __init__(self, verbose: int | str, epochs: int, steps: int) -> None:
        if verbose not in ("auto", 0, 1, 2):
            raise ValueError(f"verbose: expected 0, 1, 2 or 'auto', got {verbose!r}")
        self.verbose = 1 if verbose == "auto" else int(verbose)
        self.out = sys.stdout
        self.live = self.verbose == 1 and self.out.isatty()
        self.epochs, self.steps = epochs, steps
        self.due = 0.0

    def begin(self, epoch: int) -> None:
        self.start = time.perf_counter()
        self.due = self.start + REDRAW_SECONDS if self.live else float("inf")
        self.label = f"epoch {epoch + 1:>{len(str(self.epochs))}}/{self.epochs}"

    def step(self, done: int, logs: Callable[[], dict[str, float]]) -> None:
        """After a batch; `logs` is only called when the bar is redrawn."""
        if time.perf_counter() >= self.due:
            self._draw(done, described(logs()))
            self.due = time.perf_counter() + REDRAW_SECONDS

    def end(self, logs: dict[str, float]) -> None:
        if not self.verbose:
            return
        text = f"{described(logs)}  {time.perf_counter() - self.start:.2f} s"
        if self.live:
            self._draw(self.steps, text)
        self._write("\n" if self.live else f"{self.label}  {text}\n")

    def abort(self) -> None:
        """An epoch ends early: leave what is drawn and go to the next line."""
        if self.live:
            self._write("\n")

    def _draw(self, done: int, text: str) -> None:
        width = shutil.get_terminal_size().columns
        count = f"{done:>{len(str(self.steps))}}/{self.steps}"
        room = width - len(f"{self.label}   {count}  {text}") - 1
        bar = ""
        if room >= BAR:
            filled = BAR * done // self.steps
            bar = f" \x1b[36m{self._mark() * filled}\x1b[2m{self._mark() * (BAR - filled)}\x1b[0m "
        line = (
            f"{self.label} {count}  {text}"[: width - 1] if not bar else f"{self.label}{bar}{count}  {text}"
        )
        self._write(f"\r{line}\x1b[K")

    def _mark(self) -> str:
        return "━" if (getattr(self.out, "encoding", "") or "").lower().startswith("utf") else "="

    def _write(self, text: Any) -> None:
        self.out.write(text)
        self.out.flush()
