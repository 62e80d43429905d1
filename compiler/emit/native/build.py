"""The emitted calls bound to arrays: `build(captured arrays)` makes what stays and returns the step."""

from collections.abc import Callable, Sequence
from operator import call
from typing import Any

import numpy as np

from tapegrad.backends.aliases import Array
from tapegrad.compiler.emit.native import costs
from tapegrad.compiler.emit.native.allocation import given_away, in_one_block
from tapegrad.compiler.emit.native.arithmetic import take_back, tell
from tapegrad.compiler.emit.native.calls import Calls, address
from tapegrad.compiler.emit.native.emitter import NativeEmitter
from tapegrad.compiler.emit.native.index_nests import Bounds
from tapegrad.compiler.emit.native.machine import (
    STOPPED,
    Code,
    module_text,
    scratch_of,
)
from tapegrad.compiler.emit.native.parts import Parts, parts_of
from tapegrad.compiler.ir.program import Var
from tapegrad.compiler.ir.windows import windows_of

Step = Callable[..., tuple[Array, ...]]
Taker = Callable[[Array], None]
Giver = Callable[[], Callable[[], Array]]


class Builder:
    """Binds a program to captured arrays, again when they have moved. `text`: the LLVM IR that it was compiled from."""

    def __init__(self, emitter: NativeEmitter) -> None:
        self.emitter, self.text = emitter, ""
        self.captured: tuple[Any, ...] = ()
        self.code: Code

    def __call__(self, *captured: object) -> tuple[Step, tuple[Any, ...]]:
        arrays = arrays_of(self.emitter, captured)
        parts = parts_of(self.emitter, arrays)
        text = module_text(parts.functions(), parts.declarations)
        if text != self.text:  # arrays of other strides
            self.text, self.code = text, Code(text)
        self.captured = captured
        scratch = scratch_of(parts.scratch)
        calls = [
            Calls(self.code, part, scratch, parts.threads) if isinstance(part, list) else part
            for part in parts.calls
        ]
        step = step_of(self.emitter, arrays, calls, captured, parts)
        return step, tuple(arrays[name] for name in self.emitter.gradients)

    def explain(self, timed: bool) -> list[str]:
        """A table of what the calls cost; timed: with their share of the time, on copies of what they write to."""
        program, written = self.emitter.program, set(self.emitter.written()) if timed else ()
        copies = [a.copy("K") if v.name in written else a for v, a in zip(program.captured, self.captured)]
        arrays = arrays_of(self.emitter, copies)
        parts = parts_of(self.emitter, arrays)
        seconds: list[float] = []
        if timed:
            rng = np.random.default_rng(0)
            for v in program.arguments:  # integers may be indices: 0 is one of all axes
                arrays[v.name][...] = rng.normal(size=v.shape) if v.dtype.kind == "f" else 0
            seconds = costs.timed(parts, Code(module_text(parts.functions(), parts.declarations)))
        return costs.table(self.emitter.calls, parts, arrays, seconds)


def arrays_of(emitter: NativeEmitter, captured: Sequence[Array]) -> dict[str, Any]:
    """Every array that stays, by its name."""
    arrays: dict[str, Any] = {
        "np": np,
        **{name: getattr(np, name) for name in ("broadcast_to", "inf", "nan")},
        "windows_of": windows_of,
    }
    for v, array in zip(emitter.program.captured, captured):
        arrays.setdefault(v.name, array)
    apart = given_away(emitter.program, emitter.base, emitter.plan)
    arrays |= in_one_block(emitter.definitions, apart)
    for name, text in emitter.definitions.items():
        if name not in arrays:
            arrays[name] = eval(text, arrays)
    return arrays


LARGE = 1 << 14  # bytes: a smaller argument is copied to its place in less time than pointers are set


def taker(array: Any, parts: list[Calls], by_library: bool) -> Taker:
    """Puts the argument of a call where the program reads it: into an array of ours or, where it is large, by setting
    the pointers to where it is."""
    found = [] if by_library or array.nbytes < LARGE else [(p, *p.looking_into(array)) for p in parts]
    if not any(len(which) for _, which, _ in found):
        return copier(array)
    point = pointing(array, parts)

    def take(given: Any) -> None:
        if given.strides != array.strides:
            np.copyto(array, given)
            given = array
        point(given)

    return take


def copier(array: Array) -> Taker:
    """Copies what it is given into an array. An assignment takes two thirds of the time of np.copyto, which asks first
    whether another library wants to do it."""

    def copy(given: object) -> None:
        array[...] = given

    return copy


def pointing(array: Array, parts: list[Calls]) -> Callable[[Any], None]:
    """Has the calls read and write another array, which is laid out alike, where they had this one."""
    found = [(part.pointers, *part.looking_into(array)) for part in parts]
    # One by one: most arrays have few pointers, and a number is put into a table faster than an array.
    pointers = [(table, int(k), int(o)) for table, which, offsets in found for k, o in zip(which, offsets)]

    def point(other: object) -> None:
        start = address(other)
        for table, which, offset in pointers:
            table[which] = offset + start

    return point


def step_of(
    emitter: NativeEmitter,
    arrays: dict[str, Any],
    calls: list[Any],
    captured: Sequence[Array],
    parts: Parts,
) -> Step:
    """What runs at each call."""
    takes, results = takers_and_givers(emitter, arrays, calls, parts)
    runs = [call.run if isinstance(call, Calls) else call for call in calls]
    written = [arrays[name] for name in emitter.written()]
    steady = [a for a in captured if not any(a is w for w in written)]
    read = [*steady, *(arrays[name] for name in emitter.gradients)]
    bounds, writes = parts.bounds, len(runs) + 1 if parts.writes is None else parts.writes

    def step(*given: Any) -> tuple[Any, ...]:
        for array in written:
            if not array.flags.writeable:
                raise ValueError("output array is read-only")
        for take, array in zip(takes, given):
            take(array)
        given_back = list(map(call, results))
        flags = 0
        for n, run in enumerate(runs, 1):
            if code := run():
                if code >= STOPPED:
                    raise stopped_by(bounds.get((n - 1, code - STOPPED)), emitter, arrays, given)
                if n < writes:
                    take_back(code)
                else:
                    flags |= code
        done = tuple(map(call, given_back))
        if flags:
            tell(flags, emitter.title, (*given, *read))
        return done

    return step


def takers_and_givers(
    emitter: NativeEmitter, arrays: dict[str, object], calls: list[object], parts: Parts
) -> tuple[list[Taker], list[Giver]]:
    """A `taker` for each argument of a call, and a `giver` for each of its results."""
    compiled = [call for call in calls if isinstance(call, Calls)]
    # The arrays that calls of BLAS read and write are not exchanged.
    stays = lambda name: any(np.may_share_memory(arrays[name], x) for x in parts.of_blas)
    takes = [
        taker(arrays[v.name], compiled, emitter.by_library(v) or stays(v.name))
        for v in emitter.program.arguments
    ]
    own = {name for name in emitter.own_results() if not stays(name)}
    results = [
        giver(v, arrays.get(n), compiled if n in own else [])
        for v, n in zip(emitter.program.results, emitter.results)
    ]
    return takes, results


def stopped_by(
    looked_at: Bounds | None, emitter: NativeEmitter, arrays: dict[str, Any], given: tuple[Array, ...]
) -> Exception:
    """The error of a run that stopped: at an index that is out of bounds, or at a guard."""
    if looked_at is None:
        return LookupError("guard: another case than recorded")
    for v, array in zip(emitter.program.arguments, given):  # large ones were read where they are
        np.copyto(arrays[v.name], array)
    return looked_at.error(arrays[looked_at.array.name])


def giver(v: object, array: Array, parts: list[Calls]) -> Giver:
    """What is called before a run, and gives what is called after it for a result: the number that it is, a copy of its
    array, or, where that is large and only the parts know it, a new array in which they make it."""
    if not isinstance(v, Var):
        return lambda: lambda: v
    if array.nbytes < LARGE or not parts:
        return lambda: array.copy
    point = pointing(array, parts)

    def give() -> Callable[[], Any]:
        new = np.empty(array.shape, array.dtype)
        point(new)
        return lambda: new

    return give
