"""`Tape.what_if`: the recorded calls, run again on other leaves.

The calls behind the output are followed back: those of the graph, and those that it takes as given, which `keep_lines`
notes (`origins.py`). In the order in which they ran, each call that a changed leaf reaches runs again; of the others,
the recorded results stay. Where the program may have done something else on the new numbers, this raises.
"""

import sys
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from tapegrad.autograd import ops, writes
from tapegrad.autograd.diagnostics import describe
from tapegrad.autograd.dtypes import is_floating
from tapegrad.autograd.flags import changed_flags
from tapegrad.autograd.tapes.births import Births
from tapegrad.autograd.tapes.origins import BACKWARD, Origin, note, origin_of
from tapegrad.autograd.tapes.sites import (
    CHECKED,
    FINITE,
    MOST_READS,
    NOWHERE,
    SHAPE,
    VALUES,
    Read,
    outputs_of,
    site_of,
)
from tapegrad.autograd.tapes.what_if import watched
from tapegrad.autograd.tapes.what_if.refusal import INSTEAD, Refusal, refusal_in
from tapegrad.autograd.tapes.what_if.values import no_leaf
from tapegrad.autograd.tensor import Node, Tensor, before

if TYPE_CHECKING:
    from tapegrad.autograd.aliases import Value
    from tapegrad.autograd.tapes.tape import Tape

Call: TypeAlias = Node | Origin
NEVER = sys.maxsize  # behind all that was recorded


class Replay:
    """Runs the calls of a tape again.

    news    leaf -> its new value
    stands  what stands for a tensor; its key is (call, number of the output), or the leaf itself
    dirty   the keys of those tensors whose numbers may be others
    """

    def __init__(self, tape: "Tape", news: dict[Tensor, Tensor]) -> None:
        self.tape, self.news = tape, news
        self.stands: dict[Hashable, Tensor] = {leaf: new for leaf, new in news.items()}
        self.dirty: set[Hashable] = set(news)
        self.on_tape = set(tape.nodes)
        self.reached: set[Hashable] = set()  # the leaves behind the output
        self.known: dict[Hashable, bool] = {}  # what `depends` found
        reads = self.reads = reads_of(tape)
        self.begun, self.errors = site_of(tape.nodes[0])[-2:]
        with Births() as self.started:
            given = [(t, NEVER) for start in tape.starts for t in start if t is not None]
            calls = self.in_order([*given, *((read.tensor, read.serial) for read in reads)])
            with changed_flags(grad=True, raw=False, anomaly=False, depth=0, recorder=None, leaves=()):
                for call in calls:
                    self.run(call)
            for read in reads:
                self.refuse_another_way(read)
        if unreached := self.news.keys() - self.reached:
            raise no_leaf(tape, unreached.pop())

    def key(self, t: Tensor, serial: int) -> Hashable:
        """What made a tensor, as it was at a time: (call, number of the output), or the leaf itself."""
        t = before(t, serial, {})
        if t in self.news:
            return t
        if t.node is not None:
            return t.node, t.output_index
        origin = origin_of(t)
        while origin is not None and origin.serial > serial:
            if origin.lost and self.news and origin.serial > self.begun:
                raise Refusal(
                    f"what_if: {self.called(t)} was written to more than once inside of `with tg.keep_lines():`, so "
                    f"where its earlier contents came from is lost: {INSTEAD}"
                )
            origin = origin.before
        return t if origin is None or self.is_given(t, origin) else (origin, 0)

    def is_given(self, t: Tensor, origin: Origin) -> bool:
        """Whether a tensor was written to before the `with`, as weights and statistics that were trained: it stays."""
        earlier = origin.serial < self.begun
        return earlier and (origin.written or writes.since(t.data, origin.serial, self.begun))

    def stand_in(self, t: Any, serial: int = NEVER) -> Any:
        """What stands for a tensor, as it was at a time; of another argument, itself."""
        return self.stands.get(self.key(t, serial), before(t, serial, {})) if isinstance(t, Tensor) else t

    def in_order(self, outputs: Sequence[tuple[Tensor, int]]) -> list[Call]:
        """All calls behind tensors that are given with a time, as they ran."""
        found: set[Call] = set()
        stack = [(self.key(t, serial), serial) for t, serial in outputs]
        while stack:
            key, serial = stack.pop()
            self.refuse_updated(key, serial)
            if not isinstance(key, tuple):
                self.reached.add(key)
                self.refuse_unknown(key)
                self.refuse_shared(key)
            elif (call := key[0]) not in found and not self.is_over(call):
                found.add(call)
                self.refuse_gradient(call)
                taken = (t for t in call.inputs if isinstance(t, Tensor))
                stack += [(self.key(t, call.serial), call.serial) for t in taken]
        return sorted(found, key=lambda call: call.serial)

    def run(self, call: Call) -> None:
        """Run a call again if its arguments have changed. A call of the tape is copied in any case, so that the new
        calls are numbered in the order of the old ones."""
        keys = [self.key(t, call.serial) if isinstance(t, Tensor) else None for t in call.inputs]
        olds = [before(t, call.serial, {}) if isinstance(t, Tensor) else t for t in call.inputs]
        inputs = [self.stand_in(t, call.serial) for t in call.inputs]
        is_dirty = not self.dirty.isdisjoint(keys)
        if is_dirty or call in self.on_tape:
            self.refuse_written(call, olds)
        of_user = getattr(call.primitive, "again", None) is not None
        # A later t[i] = v may have written over what this one gave.
        is_write = call.primitive is ops.index_update_p and call in self.on_tape
        if of_user or is_dirty or is_write:
            try:
                with np.errstate(**self.errors):
                    again = watched.call_again if of_user else called_again
                    results = again(self, call, olds, inputs, is_dirty)
            except Exception as error:
                raise self.refused_error(call, error) from error
        if is_dirty:
            self.refuse_other_shapes(call, results)
            if isinstance(call, Origin):
                note(results[0], call.primitive, inputs, call.params, call.index)
                if (made := call()) is not None:
                    results[0]._requires_grad = made._requires_grad
            self.dirty |= {(call, i) for i in range(len(results))}
        elif of_user or is_write:
            pass
        elif isinstance(call, Node) and call in self.on_tape:
            copy = Node(
                call.primitive, tuple(inputs), [*call.arrays], [*call.grad_inputs], call.params, call.out
            )
            results = [Tensor(out, True, copy, i) for i, out in enumerate(outputs_of(call))]
        else:
            return
        if isinstance(call, Node) and results[0].node is not None:
            results[0].node.line, results[0].node.site = call.line, site_of(call)
        self.stands |= {(call, i): result for i, result in enumerate(results)}

    # ---- where the recorded calls are not what the program would do ----
    def is_over(self, call: Call) -> bool:
        """Whether a call was freed that ran before `with tg.keep_lines():`. Raises for one that ran inside."""
        if is_freed(call) and call.serial > self.begun and self.news:
            raise Refusal(
                "what_if: the program uses what it made before a backward pass inside of `with tg.keep_lines():`, "
                "which has freed how it was made: pass retain_graph=True to that pass, or put the `with` behind it"
            )
        return is_freed(call)

    def refuse_updated(self, key: Hashable, serial: int) -> None:
        """Raise for a tensor that was written to by what no note tells of, as by an optimizer's step, before a time."""
        origin = key[0] if isinstance(key, tuple) and isinstance(key[0], Origin) else None
        t = key if origin is None else origin()
        if not (isinstance(t, Tensor) and self.news):
            return
        known = self.begun if origin is None else origin.serial + origin.written
        if writes.since(t.data, known, serial):
            raise Refusal(
                f"what_if: {self.called(t)} was written to inside of `with tg.keep_lines():`, and its calls were "
                f"given what it held after that: {INSTEAD}, or put the `with` behind the write"
            )

    def refuse_gradient(self, call: Call) -> None:
        if call.primitive is BACKWARD and call.serial > self.begun and self.news:
            raise Refusal(
                "what_if: the program uses a gradient that was computed inside of `with tg.keep_lines():` and cannot "
                "be differentiated, by .backward() or by tg.grad of what nothing else requires a gradient of. It may "
                f"be another one now: {INSTEAD}, or put the `with` behind it"
            )

    def refuse_shared(self, leaf: Hashable) -> None:
        assert isinstance(leaf, Tensor)
        for other in self.news:
            (a, b), (c, d) = writes.span(leaf.data), writes.span(other.data)
            shared = writes.owner(leaf.data) is writes.owner(other.data) and a < d and c < b
            if shared and leaf not in self.news:
                known, mine = self.called(leaf), self.called(other)
                raise Refusal(
                    f"what_if: {mine} shares the memory of {known}, so neither changes alone: change {known} if {mine} "
                    f"is a part of it; if it was made of {mine}, make it inside of `with tg.keep_lines()`; or {INSTEAD}"
                )

    def refuse_unknown(self, leaf: Hashable) -> None:
        """Raise for a tensor that was made inside of keep_lines, and nothing says of what."""
        assert isinstance(leaf, Tensor)
        if self.news and leaf not in self.news and self.begun <= -leaf._version < self.started:
            raise Refusal(
                f"what_if: {self.called(leaf)} was made inside of `with tg.keep_lines():` where no note is taken, as "
                f"in another thread or of a raw array (t.data), so what it depends on is not known: {INSTEAD}, or "
                "make it before the `with`"
            )

    def depends(self, t: Tensor) -> bool:
        """Whether the change reaches a tensor, as it is now."""
        key = self.key(t, NEVER)
        if key not in self.known:
            reached, self.reached = self.reached, set()
            self.in_order([(t, NEVER)])
            self.known[key] = not self.reached.isdisjoint(self.news)
            self.reached = reached
        return self.known[key]

    def refuse_written(self, call: Call, inputs: "Sequence[Value]") -> None:
        if isinstance(call, Origin) and call.written:
            raise Refusal(
                f"what_if: what the change reaches was written into a tensor in place, {describe(inputs[0])}, "
                f"so its earlier contents are lost: {INSTEAD}"
            )
        for i, (t, array) in enumerate(zip(inputs, call.arrays, strict=True)):
            kept = i == 0 and call.primitive is ops.index_update_p
            if (
                isinstance(t, Tensor)
                and not kept
                and (t.data is not array or writes.since(array, call.serial))
            ):
                raise Refusal(
                    f"what_if: {self.called(t)}, which "
                    f"{call.primitive.name if call.primitive else 'detach'} was given, was written to since: {INSTEAD}"
                )

    def refuse_other_shapes(self, call: Call, results: Sequence[Tensor]) -> None:
        if not isinstance(call, Node):
            return
        olds, news = [(a.shape, a.dtype) for a in outputs_of(call)], [(r.shape, r.dtype) for r in results]
        if olds != news:
            raise Refusal(
                f"what_if: {call.primitive.name} gives a result of another shape or dtype now: {INSTEAD}"
            )

    def refuse_another_way(self, read: Read) -> None:
        key = self.key(read.tensor, read.serial)
        if key not in self.dirty:
            return
        written = read.known == VALUES and writes.since(read.tensor.data, read.serial)
        if not written and is_as_known(read, self.stands[key]):
            return
        what, other = {
            VALUES: ("reads", "is another one now"),
            SHAPE: ("picks by a mask", "has another shape now"),
            FINITE: ("lets errors of arithmetic raise, and has made", "is not finite now"),
            CHECKED: ("checks the numbers of", "holds wrong ones now"),
        }[read.known]
        raise Refusal(
            f"what_if: the program {what} {describe(read.tensor)}, which {other}, and may go another way: {INSTEAD}, "
            f"or put that behind the `with`, or behind tg.tape. It stands\n{read.line}"
        )

    def refused_error(self, call: Call, error: Exception) -> Exception:
        """What to raise for a call that fails on the new numbers; a check that the program made before says more."""
        if (refusal := refusal_in(error)) is not None:
            return refusal
        for read in self.reads:
            if read.serial < call.serial:
                self.refuse_another_way(read)
        return Refusal(f"what_if: the program raises an error on these numbers, or catches it: {error}")

    def called(self, t: Tensor) -> str:
        return self.tape.leaves.get(t) or self.tape.names.get(t) or describe(t)


def is_as_known(read: Read, new: Tensor) -> bool:
    """Whether a tensor is what the program knows of the one it looked at."""
    if read.known == SHAPE:
        return read.tensor.shape == new.shape
    if read.wrong is not None:
        return not np.any(read.wrong(new.backend.to_numpy(new.data)))
    before, now = (t.backend.to_numpy(t.data) for t in (read.tensor, new))
    if not is_floating(before.dtype):
        return read.known == FINITE or np.array_equal(before, now)
    if read.known == FINITE:
        return bool(np.all(np.isfinite(now) | ~np.isfinite(before)))
    # A zero has a sign, which a program may see.
    return np.array_equal(before, now, equal_nan=True) and np.array_equal(np.signbit(before), np.signbit(now))


def is_freed(call: Call) -> bool:
    """Whether a backward pass has freed a call."""
    return isinstance(call, Node) and call.out is None


def called_again(
    replay: Replay, call: Call, olds: object, inputs: "Sequence[Value]", changed: bool
) -> list[Tensor]:
    """The results of a call on other arguments; of a call that was not recorded, the one that is asked for."""
    if call.primitive is None:
        return [Tensor(inputs[0].data)]
    made = call.primitive(*inputs, **call.params)
    results = list(made) if isinstance(made, tuple) else [made]
    return results if isinstance(call, Node) else [Tensor(results[call.index].data)]


def reads_of(tape: "Tape") -> list[Read]:
    """What the program looked at before the tape was made. Raises RuntimeError where that was not noted."""
    lists = {}
    for node in tape.nodes:
        if is_freed(node):
            raise Refusal(
                "what_if: a backward pass has freed the graph: call what_if before it, or pass retain_graph=True to it"
            )
        if site_of(node) is NOWHERE:
            raise Refusal(
                f"what_if: {node.primitive.name} was recorded without a note of what the tape leaves out, such as "
                "comparisons and numbers that the program reads: put the forward pass under `with tg.keep_lines():`, "
                "which notes nothing while tg.jit records"
            )
        lists[id(site_of(node).reads)] = site_of(node).reads
    if len(lists) > 1:
        raise Refusal(
            f"what_if: the calls were recorded under {len(lists)} blocks `with tg.keep_lines():`, and nothing is known "
            "of what ran between them: put the whole forward pass under one"
        )
    (reads,) = lists.values()
    if len(reads) == MOST_READS and reads[0].serial > tape.nodes[0].serial:
        raise Refusal(
            f"what_if: the program reads more than {MOST_READS:,} tensors under one `with tg.keep_lines():`: "
            "put it around fewer steps"
        )
    return [read for read in reads if read.serial < tape.made]
