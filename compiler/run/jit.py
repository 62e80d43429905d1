"""`tg.jit(f)`: record f for each kind of call, compare two recordings, and run the program while its guards hold."""

import threading
from _thread import get_ident
from collections.abc import Callable
from functools import update_wrapper
from types import MethodType
from typing import Any, Generic, ParamSpec, TypeVar, overload

from tapegrad.autograd import random
from tapegrad.autograd.arguments import truth
from tapegrad.autograd.diagnostics import plural
from tapegrad.autograd.flags import DEFAULT, current
from tapegrad.autograd.foreign import answering
from tapegrad.compiler.aliases import Args, Kwargs
from tapegrad.compiler.emit.available import checked
from tapegrad.compiler.run.arguments import Taken, given_to, in_order, name_to_find, run_with_tensors
from tapegrad.compiler.run.case import Case, NoCase, OtherCase
from tapegrad.compiler.run.check import CHECKING, State, every, run_checked
from tapegrad.compiler.run.forks import LIVE
from tapegrad.compiler.run.policy import Always, Policy
from tapegrad.compiler.run.recorded import RESTLESS, Recorded
from tapegrad.compiler.watch.listen import listening
from tapegrad.compiler.watch.parameters import calls_forward, signature_of

P = ParamSpec("P")  # what the function takes
R = TypeVar("R")  # and returns


@overload
def jit(
    f: Callable[P, R], *, emitter: str = "auto", strict: bool = False, check: int | None = None
) -> "Compiled[P, R]": ...
@overload
def jit(
    f: None = None, *, emitter: str = "auto", strict: bool = False, check: int | None = None
) -> Callable[[Callable[P, R]], "Compiled[P, R]"]: ...
@answering
def jit(f: Any = None, *, emitter: str = "auto", strict: bool = False, check: int | None = None) -> Any:
    """A compiled f: recorded at its first two calls, and run as a program from the third on.

    f may train (`loss.backward(); opt.step()`), take and return dicts of parameters (`tg.value_and_grad`), or only
    predict. It may take any arguments. Tensors in them, in tuples, lists, dicts and objects, are inputs of the program.
    NumPy arrays are inputs as well, except in objects, and arrive in f as Tensors.

    **The contract.** Every value that a program depends on is an input, or a guard that is checked before each call, or
    a reason to run as Python that is told with its line. The first two calls run f as it is and record what it does.
    There is a program only if both recordings agree. Guards compare what f can reach by name: closures, globals,
    defaults, attributes, containers, modules, tapegrad's settings, whether `.grad` is there. A new value is a new case,
    recorded like the first. A place that held one tensor and then another becomes an input. Values that change by
    themselves (random numbers of the host, iterators, counters, time, files) and Python's own effects (print, append,
    `self.n += 1`) are never dropped: such a function runs as Python, and one JitWarning names the line and what to
    write instead. `stats()` counts both and gives the reasons.

    Two things differ from running f as it is. The `.grad` that a compiled step sets is one array, which the next call
    overwrites: copy it to keep it. A captured tensor, or a view, that f returns comes back as a copy.

    If a call raises, parameters, gradients, optimizer state and random streams are as before the call. One function has
    at most 64 programs; the least recently used is discarded. Not seen are changes by another thread during a call,
    state inside C extension modules, and a patched NumPy: use `check` for these.

    Args:
        f: The function to compile; left out, jit is a decorator with options.
        emitter: "numpy": NumPy calls, always available. "native": fused loops and products as machine code, compiled in
            a tenth of a second, where llvmlite is installed. "cupy": fused kernels for tensors on a GPU, and the whole
            step as one CUDA graph where nvmath-python is installed. "auto": "cupy" on a GPU, else "native" where
            llvmlite is installed and the program has more than a few operations, else "numpy".
        strict: Raise TraceError where f would run as Python, and undo what the call did to tensors. It raises at the
            first call that can know, the first to the third (docs/jit.md says which).
        check: With a number n, every n-th call of a program also runs f as it is, on copies of what the program
            writes. Python's effects happen twice then. None takes TAPEGRAD_JIT_CHECK, else 0: never.

    Returns:
        A `Compiled` with the signature of f.

    Raises:
        TraceError: strict, and f cannot be compiled.
        RuntimeError: With check, the results differ: by any bit for NumPy's program, else by more than 1e-5 of the
            array's largest element (of gradients: of the largest of all). It names the first difference.
    """
    checked(emitter)
    strict = truth("jit: strict", strict)
    every(check)  # raises for what is no number of calls
    if f is None:
        return lambda g: Compiled(g, emitter, strict, check)
    return Compiled(f, emitter, strict, check)


class OfFunction:
    """An attribute by which a function is changed: there is none here, and to set it says where to."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, compiled: Any, kind: object = None) -> Any:
        if compiled is None:
            return self
        raise AttributeError(
            f"a function under tg.jit has no {self.name}: ask {compiled.__name__}.__wrapped__"
        )

    def __set__(self, compiled: Any, value: object) -> None:
        name = f"{compiled.__name__}.__wrapped__.{self.name}"
        raise AttributeError(
            f"{self.name}: set it on the function that was compiled, as in {name} = …: the next call follows it"
        )


AS_PYTHON: Any = object()  # in place of a result: the call is to run as Python


class Compiled(Recorded, Generic[P, R]):
    """A function under `tg.jit`. Call it like the function.

    prepare(*args)   records and compiles for this kind of call; tensors and random streams stay as they are
    source()    the program of the last call, as Python source;  ir() the native one as LLVM IR
    explain()   what each pass did, in operations and bytes;  program(name) the list after that pass
    stats()     calls, how many ran compiled, recordings and their reasons
    save(path)  the program as a file that runs with NumPy alone, and its arrays beside it
    emitter     by which programs are written; who sets it, has the next calls recorded for it
    """

    __code__, __defaults__, __kwdefaults__ = OfFunction(), OfFunction(), OfFunction()

    def __init__(
        self, f: Callable[P, R], emitter: str = "auto", strict: bool = False, check: int | None = None,
        policy: Policy | None = None,
    ) -> None:  # fmt: skip
        if not callable(f):
            raise TypeError(f"tg.jit: expected a function, got {f!r}")
        self.f, vars(self)["strict"] = f, strict
        self.write_by(emitter)
        self.check = every(check)
        self.policy: Policy = Always() if policy is None else policy
        try:
            update_wrapper(self, f, updated=())
        except (AttributeError, TypeError):
            self.__wrapped__ = f
        if calls_forward(f):
            self.__signature__ = signature_of(f)
        self.__name__: str = getattr(f, "__name__", type(f).__name__)
        self.forget()
        self.parts = frozenset({*vars(self), "parts"})  # the attributes that are ours; others are the user's
        vars(self).update({name: part for name, part in given_to(f).items() if name not in self.parts})
        LIVE.add(self)

    def forget(self) -> None:
        """Start again, without programs."""
        self.lock = threading.RLock()
        self.cases: list[Case] = []  # the most recently used first
        self.calls = self.compiled = self.paid = 0
        self.reasons: list[str] = []
        self.refused: str | None = None  # why it runs as Python, whatever the call
        self.warned, self.unsettled, self.changing = False, 0, 0
        self.replaced: set[str] = set()  # places that are inputs, since they held one tensor and then another
        self.captured: set[str] = set()  # places that are no inputs though they did: a program writes to them
        self.last: Case | NoCase | None = None  # that of the last call

    def __get__(self, owner: object, kind: object = None) -> Any:
        return self if owner is None else MethodType(self, owner)

    def __deepcopy__(self, memo: Any) -> "Compiled[P, R]":
        from copy import deepcopy

        return Compiled(deepcopy(self.f, memo), self.emitter, self.strict, self.check, self.policy)

    def __reduce__(self) -> Any:
        return name_to_find(self) or (Compiled, (self.f, self.emitter, self.strict, self.check))

    def __repr__(self) -> str:
        try:
            signature = str(signature_of(self.f))
        except (TypeError, ValueError):
            signature = "(…)"
        programs = plural(sum(case.ready for case in self.cases), "program")
        how = f"runs as Python: {self.refused}" if self.refused else programs
        return (
            f"<tg.jit {self.__name__}{signature}: {how}, emitter {self.emitter!r}, "
            f"{plural(self.calls, 'call')}, {plural(len(self.reasons), 'recording')}>"
        )

    # ---- a call ----
    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        flags = current.get()
        # Part of a larger recording, or to be differentiated, or looked into for anomalies.
        if (CHECKING and get_ident() in CHECKING) or not (flags is DEFAULT or flags.plain()):
            return run_with_tensors(self.f, args, kwargs)
        with self.lock:
            self.calls += 1
            result = self.answer(args, kwargs, flags.grad) if self.refused is None else AS_PYTHON
        return self.as_python(args, kwargs) if result is AS_PYTHON else result

    def answer(self, args: Args, kwargs: Kwargs, grad: bool, taken: bool = False) -> Any:
        """What the call returns, run by a program or recorded; AS_PYTHON if it is to run as it is. taken: the arguments
        are as programs take them."""
        for case in self.cases:
            if case.grad is grad and (arrays := case.match(args, kwargs)) is not None:
                if not case.ready:
                    return self.answer_again(case, args, kwargs)
                if case is not self.last:
                    self.last = case
                    self.cases.remove(case)
                    self.cases.insert(0, case)
                self.compiled += 1
                try:
                    if self.check and self.compiled % self.check == 0:
                        return run_checked(case, self.f, arrays, args, kwargs, self.__name__)
                    return case.runner.run(arrays, args, kwargs)
                except OtherCase as other:
                    self.compiled -= 1
                    return self.after_error(case, args, kwargs, other.line, other.error)
        return self.answer_first(args, kwargs) if taken else self.answer_taken(args, kwargs, grad)

    def answer_taken(self, args: Args, kwargs: Kwargs, grad: bool) -> Any:
        """The same with Tensors for bare arrays, and arguments by place where that is the same call."""
        with Taken(args, kwargs) as taken:
            given, by_name = in_order(self.f, taken.args, taken.kwargs)
            if given is args and by_name is kwargs:
                return self.answer_first(args, kwargs)
            result = self.answer(given, by_name, grad, taken=True)
        return result if result is AS_PYTHON else taken.returned(result)

    def answer_again(self, case: Case, args: Args, kwargs: Kwargs) -> Any:
        """A call of a kind that came before and has no program: it gets one now, or never."""
        if case.reason is None:
            return self.attempt(args, kwargs, case)
        self.last, self.unsettled = case, 0
        return AS_PYTHON

    def answer_first(self, args: Any, kwargs: Any) -> Any:
        """A call of a new kind: recorded, if it is time and can be."""
        if listening() or not self.policy.due(args):  # a step of a loop that is recorded
            return self.f(*args, **kwargs)
        if not self.begin(args, kwargs):
            return AS_PYTHON
        return self.attempt(args, kwargs, None)

    def after_error(self, case: Case, args: Args, kwargs: Kwargs, line: str | None, raised: str) -> Any:
        """What the function itself gives or raises, with a note of the program's line that raised, if one did."""
        if line is None:
            return AS_PYTHON
        before = State(case)
        try:
            result = self.as_python(args, kwargs)
        except BaseException as error:
            before.put_back()
            if line:
                error.add_note(line)
            raise
        if raised:
            self.contradict(case, f"{raised} {line}".rstrip())
        return result

    def as_python(self, args: Args, kwargs: Kwargs) -> Any:
        """Run f as it is, but that arrays arrive as Tensors; where other calls run a program, a tensor from outside
        that it returns comes back as a copy."""
        with Taken(args, kwargs) as taken:
            result = self.f(*taken.args, **taken.kwargs)
        if self.compiled:
            from tapegrad.compiler.record.recording import own_results

            result = own_results(result, taken.args, taken.kwargs)
        return taken.returned(result)

    # ---- a recording ----
    def prepare(self, /, *args: P.args, **kwargs: P.kwargs) -> "Compiled[P, R]":
        """Record and compile for calls like this one. f runs twice, and what it does to tensors, gradients, optimizers
        and random streams is taken back; print, append and the like happen twice. Returns the function itself."""
        grad = current.get().grad
        # Of these random streams other threads draw nothing.
        with Taken(args, kwargs) as taken, self.lock, random.own_streams(random.streams().copy()):
            args, kwargs = in_order(self.f, taken.args, taken.kwargs)
            for _ in range(2 + RESTLESS):
                alike = (c for c in self.cases if c.grad is grad)
                case = next((c for c in alike if c.match(args, kwargs) is not None), None)
                if self.refused or (case is not None and (case.ready or case.reason)):
                    break
                if case is None and not self.begin(args, kwargs):
                    break
                self.attempt(args, kwargs, case, keep=False)
        return self
