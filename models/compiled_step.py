"""A step of a model that is compiled once its batches have come often enough, and what a saved training keeps of it."""

import sys
import warnings
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from tapegrad.autograd.aliases import Value
from tapegrad.autograd.flags import current
from tapegrad.backends.install import install_line
from tapegrad.compiler import Compiled
from tapegrad.compiler.emit.available import native_at_hand
from tapegrad.compiler.emit.choose import calls_to_repay
from tapegrad.compiler.errors import JitWarning
from tapegrad.compiler.run.case import Case
from tapegrad.compiler.run.policy import Policy
from tapegrad.data.aliases import PlainData

Function = Callable[..., Any]
Kind = tuple[Any, ...]  # the shape and dtype of each argument, None for one that is absent

# Calls of a kind before it is recorded. Two recordings and a program take as long as some 300 eager steps of a network
# of a few thousand weights, and as 20 of one whose products take most of the time. Who waits as long as that at most
# about doubles the time of a training that ends right then.
PATIENCE, LEAST = 300, 20
WORK = 20_000_000  # numbers of a batch times weights: from about here on products count
KINDS = 8  # kinds of batch at most: each program holds the buffers for its size of batch
EAGERLY = "run_eagerly=True"  # why a step runs as Python, if that was asked for
NEVER = sys.maxsize
RECORDED, COMPILED = "recorded", "compiled"  # how far a kind has come: a first recording, a program


def kind_of(args: tuple[Value, ...]) -> Kind:
    return tuple(None if a is None else (a.shape, a.dtype) for a in args)


class AfterCalls(Policy):
    """When to record: once a kind of batch has come as often as `patience` says, after each further recording of that
    kind (what it depends on has changed) after twice as many, and beyond `KINDS` kinds never.

    weights         how many the model has
    frequent_rows   of the batches that come so often that the second call is recorded, and of no other kind before
                    three times `PATIENCE`; None: how often a kind comes is not known
    """

    weights = 0
    frequent_rows: int | None = None

    def __init__(self) -> None:
        self.waited: dict[Kind, tuple[int, int]] = {}  # kind -> (calls since it was recorded, recordings)

    def due(self, args: tuple[Value, ...]) -> bool:
        kind = kind_of(args)
        calls, recordings = self.waited.get(kind, (0, 0))
        if not recordings and sum(r > 0 for _, r in self.waited.values()) >= KINDS:
            return False
        due = calls >= self.patience(kind) << recordings
        self.waited[kind] = (0, recordings + 1) if due else (calls + 1, recordings)
        return due

    def patience(self, kind: Kind) -> int:
        if self.frequent_rows is None:
            numbers = 0 if kind[0] is None else prod(kind[0][0])
            return max(PATIENCE // (1 + numbers * self.weights // WORK), min(PATIENCE, LEAST))
        return 1 if kind[0] is not None and kind[0][0][0] == self.frequent_rows else 3 * PATIENCE


class Step(Compiled):
    """A function of Tensors that is recorded when batches of a kind have come often enough.

    With the emitter "auto" on the CPU it has NumPy's programs first, whose numbers are those of Python. After as many
    calls as repay it, which the program alone decides, it has native ones. A saved training keeps how far each kind of
    batch has come, so that a resumed one runs the same programs from its first batch on.
    """

    def __init__(
        self, f: Function, emitter: str, *, on_cpu: bool, eager: bool, before: "Step | None"
    ) -> None:
        self.in_stages = on_cpu and emitter == "auto"
        self.native_from = NEVER  # the number of calls from which on programs are native
        self.last_case: dict[Kind, Case] = {}
        self.to_prepare: dict[Kind, str] = {}  # how far kinds had come that are to be brought there again
        self.waiting = AfterCalls()
        super().__init__(f, "numpy" if self.in_stages else emitter, policy=self.waiting)
        if eager:
            self.refused = EAGERLY
        if before is not None:  # the step of the same model as it was: its counts go on
            self.calls, self.compiled, self.reasons = before.calls, before.compiled, before.reasons
            self.warned = before.warned

    def __call__(self, *args: Value) -> Value:
        if self.to_prepare or self.calls >= self.native_from:
            self.catch_up(args)
        return super().__call__(*args)

    def catch_up(self, args: tuple[Value, ...]) -> None:
        """Go over to native programs if it is time, and make the program for this kind of call that it had before."""
        flags = current.get()
        if self.refused or flags.recorder is not None or flags.raw or flags.depth or flags.anomaly:
            return
        with self.lock:
            if self.calls >= self.native_from:
                self.go_native()
            stage = self.to_prepare.pop(kind_of(args), None)
            if stage == COMPILED:
                self.prepare(*args)
            elif stage == RECORDED and self.begin(args, {}):
                self.attempt(args, {}, None, keep=False)

    def go_native(self) -> None:
        self.native_from = NEVER
        self.write_by("auto")
        for kind, case in self.last_case.items():
            if case.ready and case in self.cases:
                self.cases.remove(case)
                self.to_prepare[kind] = COMPILED

    def attempt(
        self, args: tuple[Value, ...], kwargs: dict[str, Value], before: Case | None, keep: bool = True
    ) -> Value:
        result = super().attempt(args, kwargs, before, keep)
        if isinstance(self.last, Case):
            self.last_case[kind_of(args)] = self.last
        else:
            self.last_case.clear()
        return result

    def settle(self, case: Case) -> None:
        super().settle(case)
        if self.in_stages and self.emitter == "numpy":
            self.native_from = min(self.native_from, calls_to_repay(case.recording.program) or NEVER)

    def warning(self, reason: str) -> str:
        return (
            f"{self.__name__}: this step runs as Python, not compiled: {reason}. To ask for that, and have no warning: "
            "compile(…, run_eagerly=True)"
        )

    # ---- what a saved training keeps ----
    def state(self) -> PlainData:
        """The counts, the emitter, and each kind of batch with how far it has come, as plain data."""
        return {
            "calls": self.calls,
            "compiled": self.compiled,
            "emitter": self.emitter_now(),
            "refused": None if self.refused == EAGERLY else self.refused,
            "native_from": None if self.native_from == NEVER else self.native_from,
            "kinds": [
                [plain(kind), *counts, self.stage(kind)] for kind, counts in self.waiting.waited.items()
            ],
        }

    def emitter_now(self) -> str:
        return "native" if self.in_stages and self.emitter == "auto" else self.emitter

    def stage(self, kind: Kind) -> str | None:
        case, (calls, _) = self.last_case.get(kind), self.waiting.waited[kind]
        another_case = calls > 0  # by now
        if kind in self.to_prepare or case is None or case.reason or another_case:
            return self.to_prepare.get(kind)
        return COMPILED if case.ready else RECORDED

    def restore(self, state: PlainData) -> None:
        """Go on as the step whose state this is. Its programs are made again when a batch of their kind comes."""
        self.calls, self.compiled = state["calls"], state["compiled"]
        if state["refused"] and self.refused is None:
            self.give_up(state["refused"])
        if self.in_stages and state["emitter"] in ("numpy", "native"):
            if native_at_hand():
                self.native_from = state["native_from"] or NEVER
                self.write_by("auto" if state["emitter"] == "native" else "numpy")
            elif state["emitter"] == "native":
                warnings.warn(NOT_NATIVE % self.__name__, JitWarning, stacklevel=2)
        for described, calls, recordings, stage in state["kinds"]:
            kind = kind_from(described)
            self.waiting.waited[kind] = (calls, recordings)
            if stage is not None:
                self.to_prepare[kind] = stage


NOT_NATIVE = (
    f"%s: this step ran as machine code when it was saved, which needs llvmlite here: {install_line('jit')}. It "
    "goes on with NumPy's programs, whose numbers differ in the last bits"
)


def plain(kind: Kind) -> list[object]:
    return [None if a is None else [list(a[0]), str(a[1])] for a in kind]


def kind_from(described: list[Any]) -> Kind:
    return tuple(None if a is None else (tuple(a[0]), np.dtype(a[1])) for a in described)
