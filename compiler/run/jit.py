"""`tg.jit(f)`: record f once for each kind of input, improve the list, and run it as a program."""

import threading
import warnings
from collections.abc import Callable
from operator import attrgetter
from types import MethodType
from typing import Any

from tapegrad.autograd.flags import current
from tapegrad.autograd.tensor import Tensor
from tapegrad.compiler.emit.choose import checked, left_alone
from tapegrad.compiler.emit.load import save
from tapegrad.compiler.record.scope import Surroundings
from tapegrad.compiler.record.standins import StandIns
from tapegrad.compiler.record.trace import Trace
from tapegrad.compiler.run.signature import Key, news
from tapegrad.compiler.run.variant import Variant

training_of = attrgetter("training")
PROGRAMS = 64  # of one function at most: each holds buffers of its own


def jit(f: Any = None, *, emitter: str = "auto") -> Any:
    """Record f when it is first called with inputs of a kind, and run it as one program from then on.

    f may train: change a model and an optimizer (`loss.backward(); opt.step()`), or take and return dicts of
    parameters (`tg.value_and_grad`); or only predict. Parameters, buffers and optimizer state that it uses are read
    where they are and written in place: a learning rate set from outside, the step count, random draws and training
    mode take effect as they do without. Arguments are tensors, numbers and nested tuples, lists and dicts of them.

    One program is recorded for each combination of the arguments' structure, shapes, dtypes and devices, of the values
    of arguments that are no tensors, and of the training flags of the Modules around; `stats()` counts them and says
    why, and so does the logger "tapegrad.jit" (level INFO). There are 64 programs at most, and a warning beyond.
    What a program cannot follow, a number read out of a tensor (`float(t)`, `if t > 0`, `print(t)`), raises TraceError
    with the line and the remedy. Python itself runs only while f is recorded: a number that f closes over or works out,
    whether a tensor has a gradient (`w.grad is None`), and what it does with raw arrays (`t.data`), are part of the
    program as they were. Give such a number as an argument, or hold it in a tensor.

    emitter    "numpy": calls of NumPy, always there; "numba": one compiled function with fused loops, which takes some
               seconds to make (`pip install "tapegrad[jit]"`); "cupy": for tensors on a GPU, fused kernels, and with
               `pip install "tapegrad[cuda-fast]"` the whole step as one CUDA graph; "auto": "cupy" on a GPU, else
               numba where it is installed and knows every operation, else NumPy

    Two things differ from running f as it is. The `.grad` that a compiled step sets is one array, which the next call
    writes to again: copy what is to be kept. And a captured tensor that f returns comes back as a copy.

    A function whose result is itself to be differentiated, or that runs inside `tg.grad`, runs as without `jit`;
    so does one whose arrays no emitter knows, or are on several devices. On a GPU, a check inside f and an index array
    make each call wait for the device, and what cannot be part of a graph is left to kernels: `stats()` says so.
    """
    checked(emitter)
    return (lambda g: Compiled(g, emitter)) if f is None else Compiled(f, emitter)


class Compiled:
    """A function recorded by `tg.jit`. Call it like the function.

    source()    the program of the last call, as Python source
    explain()   what each pass did, in operations and bytes;  program(name) the list after that pass
    stats()     calls, recordings and their reasons
    save(path)  the program as a file that runs with NumPy alone, and its arrays beside it
    """

    def __init__(self, f: Callable[..., Any], emitter: str) -> None:
        self.f, self.emitter = f, emitter
        self.__name__ = getattr(f, "__name__", type(f).__name__)
        self.__doc__ = f.__doc__
        self.lock = threading.RLock()
        self.variants: dict[Any, Variant] = {}
        self.calls = 0
        self.elsewhere: str | None = None
        self.reasons: list[str] = []
        self.last: Variant | None = None
        self.full = False  # whether programs were dropped
        self.around: Surroundings | None = None
        self.called: list[Any] = []  # Modules that were called while it was recorded, and those inside

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        return self if owner is None else MethodType(self, owner)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        flags = current.get()
        # Part of a larger recording, or to be differentiated, or looked into for anomalies.
        if flags.recorder is not None or flags.raw or flags.depth or flags.anomaly:
            return self.f(*args, **kwargs)
        with self.lock:
            # First the quick answer: most calls are of the kind of the last one.
            if self.last is not None and self.around is not None and not kwargs:
                arrays = self.last.arrays_of(args, flags.grad, self.around.closed)
                if arrays is not None:
                    self.calls += 1
                    return self.last.run(arrays, args, kwargs)
            if self.around is None:
                self.around = Surroundings(self.f, args)
            key = Key([flags.grad, len(args)], self.around.closed)
            for a in args:
                key.add(a)
            if kwargs:
                key.add(kwargs)
            modules = self.around.modules
            key.parts += map(training_of, modules)
            inside = list(map(training_of, self.called))
            self.calls += 1
            variant = self.variants.get(kind := (*key.parts, *inside))
            tensors = key.tensors
            if variant is not None and variant.fits():
                self.keep(kind, variant)
                return variant.run([t.data for t in tensors], args, kwargs)
            self.elsewhere = left_alone(self.emitter, tensors or self.around.leaves)
            if self.elsewhere is not None:
                return self.f(*args, **kwargs)
            reason = news(kind, self.variants) if variant is None else variant.outdated()
            if reason is not None:
                recorded = self.record(kind, args, kwargs, tensors)
                if recorded is None:
                    return self.f(*args, **kwargs)
                self.reasons.append(reason if self.reasons else "the first call")
                self.last = recorded
                self.log()
                for m, training in recorded.called.items():
                    if m not in modules and m not in self.called:
                        self.called.append(m)
                        inside.append(training)
                kind = (*key.parts, *inside)
                if recorded.moved:  # by an optimizer that took replaced parameters up
                    self.variants.pop(kind, None)
                else:
                    self.keep(kind, recorded)
                return recorded.first
            assert variant is not None
            self.keep(kind, variant)
            variant.bind(variant.current_arrays())
            return variant.run([t.data for t in tensors], args, kwargs)

    def keep(self, kind: Any, variant: Variant) -> None:
        """Count a program as the one used last; of more than PROGRAMS, drop the one that was not for longest."""
        assert self.around is not None
        self.last = variant
        variant.watch([*self.around.modules, *self.called])
        self.variants.pop(kind, None)
        self.variants[kind] = variant
        if len(self.variants) > PROGRAMS:
            del self.variants[next(iter(self.variants))]
            if not self.full:
                self.full = True
                warnings.warn(
                    f"tg.jit: {self.__name__} was recorded for {PROGRAMS} kinds of input, the last time for "
                    f"{self.reasons[-1].removeprefix('a new kind of input: ')}. From now on the program that was not "
                    "used for longest is dropped for each new one. A number that changes from call to call belongs in "
                    "a tensor, as in tg.tensor(0.1); rows of many lengths can be padded to a few",
                    stacklevel=3,
                )

    def record(self, kind: Any, args: Any, kwargs: Any, tensors: list[Tensor]) -> Variant | None:
        """The program for this kind of input; None: this call runs as it is. If it raises, it has changed nothing."""
        self.around = Surroundings(self.f, args)
        names = self.around.names
        given = StandIns(args, kwargs, self.around.closed)
        own = [given.own.get(id(t), t) for t in tensors]
        arguments = [(names.get(id(t), f"x{i + 1}"), o) for i, (t, o) in enumerate(zip(tensors, own))]
        trace = Trace(arguments, names, self.around.owners)
        try:
            return Variant(self, trace, given, own)
        except BaseException:
            trace.undo()
            raise
        finally:
            trace.alive.clear()  # its weak references know the trace: without them it goes now

    def log(self) -> None:
        """Tell the logger "tapegrad.jit" of a recording."""
        from logging import getLogger  # here, since it is slow to import and few recordings are made

        assert self.last is not None
        getLogger("tapegrad.jit").info(
            "%s: recording %d (%s), run by %s", self.__name__, len(self.reasons), self.reasons[-1],
            f"Python: {self.last.eager}" if self.last.eager else self.last.emitter,
        )  # fmt: skip

    def variant(self) -> Variant:
        if self.last is None:
            raise RuntimeError(f"tg.jit: call {self.__name__} once: it is recorded at its first call")
        return self.last

    def source(self) -> str:
        """The program of the last call, as source that can be read, and stepped through in a debugger."""
        return self.variant().source

    def explain(self) -> str:
        """A table: the operations that compute, and the bytes of the arrays they make, after each pass; at the end the
        loops and calls that are emitted, and the bytes of the buffers that they work in."""
        return self.variant().explain()

    def program(self, after: str | None = None) -> str:
        """The list of operations after the named pass ("recorded" for none), or after all."""
        history = dict(self.variant().history)
        if after is not None and after not in history:
            raise ValueError(f"program: known passes are {', '.join(history)}, got {after!r}")
        return str(history[after] if after else self.variant().program)

    def stats(self) -> dict[str, Any]:
        """How often it was called and recorded, why each recording was made, and what runs without being compiled."""
        return {
            "calls": self.calls,
            "recordings": len(self.reasons),
            "reasons": list(self.reasons),
            "programs": [v.told() for v in self.variants.values()]
            + ([self.elsewhere] if self.elsewhere else []),
        }

    def save(self, path: str) -> None:
        """Write the program of the last call to `path` (step.py), and the arrays it captured beside it (step.npz).

        The file is what the emitter for NumPy writes, and needs NumPy (and SciPy, if erf is used) and not tapegrad:
        `step = step_py.open_step()`, then `step(*arrays)` with the tensor arguments in order returns a tuple of arrays
        and updates the captured ones, `step.arrays`. Raises ValueError for what runs without being compiled.
        """
        save(path, self.variant())
