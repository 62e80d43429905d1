"""One run of a function, recorded: the program, where its arrays come from, and what must hold for it."""

import os
import random as python_random
import sys
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tapegrad.autograd import random
from tapegrad.autograd.flags import changed_flags
from tapegrad.autograd.recorder import HostNumber
from tapegrad.autograd.tensor import Tensor
from tapegrad.autograd.whole import uninterrupted
from tapegrad.backends.aliases import Function
from tapegrad.compiler.aliases import Args, Kwargs
from tapegrad.compiler.collection import no_collection
from tapegrad.compiler.errors import TraceError
from tapegrad.compiler.ir.program import Program
from tapegrad.compiler.record.argument_changes import changed, contents
from tapegrad.compiler.record.attach import attach
from tapegrad.compiler.record.calls import RecordedCalls
from tapegrad.compiler.record.data_watch import DataWatch
from tapegrad.compiler.record.kept_values import kept_values
from tapegrad.compiler.record.print_watch import PrintWatch
from tapegrad.compiler.record.trace import Trace
from tapegrad.compiler.record.tree import take_apart
from tapegrad.compiler.watch.code import Part
from tapegrad.compiler.watch.guards import Guards
from tapegrad.compiler.watch.lines import with_line
from tapegrad.compiler.watch.listen import Listener
from tapegrad.compiler.watch.reach import Reach, reached
from tapegrad.compiler.watch.rooms import room_of
from tapegrad.compiler.watch.walk import Kept

DRAWING = random.Streams.generator.__code__  # which all draws from our stream on the host ask for it


@dataclass
class Recording:
    """What one run came to.

    reason      why it is no program, or None; final: whether another run would come to the same
    disturbed   whether the reason may be what another thread did
    changed     what it changed in its arguments, by the user's names
    code        the user's code that ran; parts: what of it
    captured    the tensors that the program reads where they are, or writes in place
    results     for each leaf of what the function returned: ("new", number), ("argument", number), ("value", itself),
                or ("held", number) for what was there before the call and is no tensor
    rebuild     makes what the function returned of its leaves
    leaves      the tensors whose .grad the program sets; dropped: those whose .grad it sets to None
    asked       the leaves whose .grad was asked for, by an optimizer, say
    local_of    id of a tensor -> what the guards call it
    written_places   names of inputs that are no arguments, and that it writes to
    host_numbers   what Python works out before each call
    calls       which operations carry out which call of a tape
    undo        puts everything back to what it was before the run; None once that is too late
    """

    program: Program
    guards: Guards
    reason: str | None = None
    final: bool = False
    disturbed: bool = False
    changed: list[str] = field(default_factory=list)
    code: frozenset[Any] = frozenset()
    parts: dict[Any, Part] = field(default_factory=dict)
    captured: list[Tensor] = field(default_factory=list)
    results: list[tuple[str, Any]] = field(default_factory=list)
    rebuild: Callable[[list[Any]], Any] = list
    leaves: list[Tensor] = field(default_factory=list)
    dropped: list[Tensor] = field(default_factory=list)
    asked: list[Tensor] = field(default_factory=list)
    local_of: dict[int, str] = field(default_factory=dict)
    written_places: list[str] = field(default_factory=list)
    host_numbers: list[HostNumber] = field(default_factory=list)
    device: str = "cpu"
    calls: RecordedCalls = field(default_factory=RecordedCalls)
    undo: Callable[[], None] | None = None

    def stay(self) -> None:
        """What the run did is to stay: what would take it back is dropped."""
        self.undo = None

    def take_back(self) -> None:
        """Put tensors, gradients and random streams back to what they were before the run."""
        if self.undo is not None:
            self.undo()
        self.undo = None

    def turned_down(self, warn: Callable[[], None]) -> None:
        """Say that it is no program. If that raises, as strict and where warnings are errors, the run is taken back."""
        try:
            warn()
        except BaseException:
            self.take_back()
            raise

    def ran_more_than(self, other: "Recording") -> str:
        """Where instructions of the user's code ran that did not in the other run, as file:line; "" if none did."""
        for code, part in self.parts.items():
            before = other.parts[code].offsets if code in other.parts else frozenset()
            for i in part.ran:
                if i.offset not in before:
                    line = (i.positions.lineno if i.positions else None) or code.co_firstlineno
                    return f"{os.path.basename(code.co_filename)}:{line}"
        return ""

    def drawn(self, by_it: bool) -> None:
        """The random streams of the host have moved on. All threads have them in common: nobody knows which
        one drew."""
        if by_it:
            self.fail(
                "it draws random numbers on the host. Draw with tapegrad's layers, or pass the numbers in"
            )
            return
        self.disturbed = self.reason is None
        self.fail(
            "random numbers of the host were drawn while it ran: by it, or by another thread. Draw with tapegrad's "
            "layers, or pass the numbers in; give the thread a np.random.Generator or random.Random of its own"
        )

    def fail(self, reason: str, final: bool = False) -> None:
        """It is no program; the first reason counts."""
        if self.reason is None:
            self.reason, self.final = reason, final


def record(
    f: Function,
    args: Args,
    kwargs: Kwargs,
    inputs: Iterable[str] = (),
    strict: bool = False,
) -> tuple[Recording, Any]:
    """Run f once and write down what it does. Returns that and what f returned, with memory of its own.

    If f raises, what it did to tensors, gradients and random streams is taken back.
    inputs    names of places whose tensors are read at each call, since they were seen to be replaced
    """
    trace, held = Trace(strict), contents(f, args, kwargs)
    streams, alone = host_streams(), runs_alone()
    watch = DataWatch(trace)
    listener = Listener(watch.meet)
    trace.beside = listener.beside
    try:
        with no_collection():  # what is called when garbage is found was not called by f
            with changed_flags(recorder=trace), watch, PrintWatch(listener.printed), listener:
                result = f(*args, **kwargs)
            kept = kept_values(held, trace)
            recording, seen = looked_at(f, args, kwargs, inputs, trace, listener, result, kept)
            result = own_results(result, args, kwargs, seen)
        recording.changed = changed(held)
        if streams != host_streams():
            recording.drawn(by_it=(alone and runs_alone()) or DRAWING in listener.kinds)
        if recording.reason is not None:
            recording.reason = with_line(recording.reason, recording.code or users_code(f))
        if strict and recording.reason is not None and recording.final and not recording.written_places:
            raise TraceError(f"tg.jit: {recording.reason}")
    except BaseException:
        with uninterrupted():
            trace.undo()
        raise
    finally:
        # These know the trace: without them it goes with the last use.
        trace.namespaces.clear()
        trace.spread.clear()
        del trace.beside
    recording.undo = trace.undo
    return recording, result


def users_code(f: Function) -> list[Any]:
    """The code of a function of the user's. A line of ours, as of the steps of `fit`, tells the user nothing."""
    code = getattr(f, "__code__", None)
    return [code] if code is not None and room_of(code.co_filename) == "user" else []


def looked_at(
    f: Function, args: Args, kwargs: Kwargs, inputs: Iterable[str], trace: Trace,
    listener: Listener, result: object, kept: list[Kept],
) -> tuple[Recording, Container[int]]:  # fmt: skip
    """What a run came to, and the ids of what was there before. What cannot be looked at, a key whose hash has changed,
    say, is a reason to run as Python: the function itself did not raise."""
    try:
        reach = reached(f, args, kwargs, listener, inputs, kept)
        recording = described(trace, listener, reach, result)
    except TraceError:
        raise
    except Exception as error:
        recording = Recording(trace.program, Guards())
        kind = type(error).__name__
        recording.fail(
            f"what it reaches cannot be looked at ({kind}). Pass what it needs as arguments", final=True
        )
        return recording, ()
    if "data" in reach.more:
        recording.fail("it looks at t.data through an attrgetter. Use the tensor itself", final=True)
    return recording, reach.seen


def own_results(result: object, args: Args, kwargs: Kwargs, held: Container[int] = frozenset()) -> Any:
    """Results of a run as Python as a program would give them: memory of their own, but for the arguments.

    held   ids of containers that were there before, and are returned as they are
    """
    leaves, rebuild = take_apart(result, held)
    given = {id(t) for t in take_apart((args, kwargs))[0]}
    copies: dict[int, Tensor] = {}
    for leaf in leaves:
        plain = isinstance(leaf, Tensor) and leaf.node is None and not leaf.requires_grad
        if plain and id(leaf) not in given:
            copies.setdefault(id(leaf), Tensor(leaf.backend.asarray(leaf.data, copy=True)))
    return rebuild([copies.get(id(leaf), leaf) for leaf in leaves]) if copies else result


def described(trace: Trace, listener: Listener, reach: Reach, result: object) -> Recording:
    """What a run came to, when it is over."""
    recording = Recording(trace.program, reach.guards)
    if trace.moves:  # before any other reason: the next run may find every parameter where it belongs
        recording.fail(
            "an optimizer was made, or took up parameters that another one had, or that were replaced, at "
            f"{trace.moves}. Make it outside, and give each parameter to one optimizer"
        )
    if trace.reason is not None:
        recording.fail(trace.reason, final=True)
    if (stale := trace.host_numbers.why_stale()) is not None:
        recording.fail(stale, final=True)
    recording.calls, recording.host_numbers = trace.calls, trace.host_numbers.found
    recording.parts = {code: listener.part(code) for code in listener.codes("user")}
    recording.code = frozenset(recording.parts)
    if listener.lost:
        recording.fail(
            "it recurses to the limit, or sets a profiler, and was not heard to the end", final=True
        )
    for what, line in listener.impure:
        recording.fail(f"it calls {what} at {line}. Call it outside, and pass in what it gives")
    if recording.reason is None:
        attach(recording, reach, trace, result)
    reach.distinct_tensors()
    reach.distinct_arrays(trace.arrays)
    if reach.guards.refusals:
        recording.fail("; ".join(dict.fromkeys(reach.guards.refusals)), final=True)
    if reach.guards.doubts:
        recording.fail("; ".join(dict.fromkeys(reach.guards.doubts)))
    reach.guards.drop_unused()
    return recording


def runs_alone() -> bool:
    """Whether no other thread runs Python code."""
    return len(sys._current_frames()) == 1


def host_streams() -> tuple[Any, ...]:
    """Where the random streams of the host stand: Python's, NumPy's and tapegrad's."""
    found: list[Any] = [python_random.getstate()]
    if "numpy.random" in sys.modules:
        state = np.random.get_state(legacy=False)
        found += [state["state"]["pos"], state["state"]["key"].tobytes(), state["has_gauss"]]
    return (*found, random.snapshot()[2])
