"""What a compiled function tells of itself."""

from os import PathLike
from typing import Any

from tapegrad.autograd.flags import outside
from tapegrad.compiler.run.case import Case, NoCase


class Readable:
    """The part of a compiled function that is read: its source, its lists of operations, its counts.

    cases     the kinds of call that were recorded, the most recently used first
    last      that of the last call; None before the first
    refused   why it runs as Python, whatever the call
    """

    __name__: str
    cases: list[Case]
    last: Case | NoCase | None
    calls: int
    compiled: int
    reasons: list[str]
    refused: str | None

    def why_python(self) -> str | None:
        """Why the last call ran as Python, if it did."""
        # Another compiled function that is being recorded would have the answer as a constant.
        outside("what a compiled function tells of itself")
        if self.last is None:
            raise RuntimeError(f"tg.jit: call {self.__name__} once: it is recorded at its first call")
        return self.refused or self.last.why_python

    def shown(self) -> Case:
        """The case of the last call, which has a program."""
        if why := self.why_python():
            raise ValueError(f"{self.__name__}: there is no program, since it runs as Python: {why}")
        assert isinstance(self.last, Case)
        return self.last

    def source(self) -> str:
        """The program of the last call, as source that can be read, and stepped through in a debugger."""
        why = self.why_python()
        return f"# {self.__name__} runs as Python: {why}\n" if why else self.shown().runner.source

    def ir(self) -> str:
        """The LLVM IR of the native program of the last call; "" for other emitters' programs."""
        return "" if self.why_python() else getattr(self.shown().runner.build, "text", "")

    def explain(self, timed: bool = False) -> str:
        """Tables: operations of the list and bytes that they make, after each pass that changed it, and by your lines;
        between them, of a native program's loops and products, the arithmetic on single numbers and the bytes read and
        written. timed: measure these (ValueError for other programs), on copies of what is written to."""
        why = self.why_python()
        return f"{self.__name__} runs as Python: {why}" if why else self.shown().runner.explain(timed)

    def program(self, after: str | None = None) -> str:
        """The list of operations after the named pass ("recorded" for none), or after all."""
        if why := self.why_python():
            return f"{self.__name__} runs as Python: {why}"
        runner = self.shown().runner
        history = dict(runner.history)
        if after is not None and after not in history:
            raise ValueError(f"program: known passes are {', '.join(history)}, got {after!r}")
        return str(history[after] if after else runner.program)

    def stats(self) -> dict[str, Any]:
        """How often it was called, how many calls ran compiled and how many as Python, how often and why it was
        recorded, how each kind of call runs, and why the last one ran as Python, if it did."""
        outside("stats of a compiled function")
        last = self.last
        cases: list[Case | NoCase] = [*self.cases, last] if isinstance(last, NoCase) else [*self.cases]
        return {
            "calls": self.calls,
            "compiled": self.compiled,
            "eager": self.calls - self.compiled,
            "recordings": len(self.reasons),
            "reasons": list(self.reasons),
            "programs": [case.status_line() for case in cases],
            "refused": self.refused or (last.reason if last is not None else None),
        }

    def html(self, path: str | PathLike[str] | None = None) -> str:
        """The program of the last call as one page of HTML, written to `path` if given, and returned: the list after
        each pass with what the pass changed, and the emitted source, where a chosen operation is marked. The file needs
        no network. Raises ValueError for what runs as Python.
        """
        from tapegrad.autograd.pages.page import written
        from tapegrad.compiler.run.pages import program_page

        return written(program_page(self.__name__, self.shown().runner), path)

    def lines_of_tape(self, tape: Any) -> dict[str, Any]:
        """What `tape.html(path, step=…)` shows of the program: its source, and the lines of each call of the tape.
        Raises ValueError if the program does not compute what the tape recorded."""
        from tapegrad.compiler.run.pages import lines_of_tape

        return lines_of_tape(self.__name__, self.shown().runner, tape)

    def _repr_html_(self) -> str:
        from tapegrad.compiler.run.pages import counts_as_html

        return counts_as_html(repr(self), self.stats())

    def save(self, path: str) -> None:
        """Write the program of the last call to `path` (step.py), and the arrays it captured beside it (step.npz).

        The file is what the emitter for NumPy writes, and needs NumPy (and SciPy, if erf is used) and not tapegrad:
        `step = step_py.open_step()`, then `step(*arrays)` with the tensor arguments in order returns a tuple of arrays
        and updates the captured ones, `step.arrays`. Raises ValueError for what runs as Python.
        """
        from tapegrad.compiler.emit.load import save

        if why := self.why_python():
            raise ValueError(f"save: there is no program, since it runs as Python: {why}")
        save(path, self.shown().runner)
