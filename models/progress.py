"""One line per epoch: a bar while it runs (on a terminal), the loss and the metrics at its end."""

import shutil
import sys
import time
from collections.abc import Callable

BAR = 20
CYAN, DIM, PLAIN = "\x1b[36m", "\x1b[2m", "\x1b[0m"
REDRAW_SECONDS = 0.1


def number(value: float) -> str:
    """0.0712, 12.35, 3.1e-05, 1.7e+06: four digits or so, and never wide."""
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.1e}"


def described(logs: dict[str, float], between: str = "  ") -> str:
    return between.join(f"{name} {number(value)}" for name, value in logs.items())


def visible(text: str) -> int:
    """How many columns a text takes, colours not counted."""
    for colour in (CYAN, DIM, PLAIN):
        text = text.replace(colour, "")
    return len(text)


def width() -> int:
    return shutil.get_terminal_size().columns


class Progress:
    """verbose 0: silent; 1: a bar that is redrawn on a terminal, elsewhere as 2; 2: one plain line per epoch."""

    def __init__(self, verbose: int | str, steps: int) -> None:
        if verbose not in ("auto", 0, 1, 2):
            raise ValueError(f"verbose: expected 0, 1, 2 or 'auto', got {verbose!r}")
        self.verbose = 1 if verbose == "auto" else int(verbose)
        self.out = sys.stdout
        self.live = self.verbose == 1 and self.out.isatty()
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
        seconds = f"{time.perf_counter() - self.start:.2f} s"
        text = f"{self.label}  {described(logs)}  {seconds}"
        if self.live:
            shorter = (
                f"{self._bar(self.steps)}  {described(logs)}  {seconds}",
                text,
                f"{self.label} {described(logs, ' ')}",
            )
            text = next((t for t in shorter if visible(t) < width()), shorter[-1])
        self._write(f"\r{text}\x1b[K\n" if self.live else f"{text}\n")

    def abort(self) -> None:
        """An epoch ends early: leave what is drawn and go to the next line."""
        if self.live:
            self._write("\n")

    def _draw(self, done: int, text: str) -> None:
        line = f"{self._bar(done)}  {text}"
        if visible(line) >= width():
            line = f"{self.label} {done}/{self.steps}  {text}"[: width() - 1]
        self._write(f"\r{line}\x1b[K")

    def _bar(self, done: int) -> str:
        filled = BAR * done // self.steps
        mark = self._mark()
        bar = f"{CYAN}{mark * filled}{DIM}{mark * (BAR - filled)}{PLAIN}"
        return f"{self.label} {bar} {done:>{len(str(self.steps))}}/{self.steps}"

    def _mark(self) -> str:
        return "━" if (getattr(self.out, "encoding", "") or "").lower().startswith("utf") else "="

    def _write(self, text: str) -> None:
        self.out.write(text)
        self.out.flush()
