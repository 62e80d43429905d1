"""What the function of a scan does, seen by running one step: its results, and what it uses besides its arguments."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from tapegrad.autograd import ops, random, writes
from tapegrad.autograd.aliases import Params
from tapegrad.autograd.diagnostics import describe, user_line
from tapegrad.autograd.dtypes import is_floating
from tapegrad.autograd.flags import changed_flags, current
from tapegrad.autograd.primitive import Primitive
from tapegrad.autograd.recorder import Recorder, Steps
from tapegrad.autograd.tensor import Tensor
from tapegrad.autograd.transforms.calls import label, same_numbers, used_from_outside
from tapegrad.autograd.transforms.derivatives import noted_leaves
from tapegrad.autograd.writes import next_serial
from tapegrad.backends.aliases import Array, Function

Tensors = list[Tensor]
Step = Callable[[Tensors, Tensors], tuple[Tensors, Tensors]]  # (carry, slices) -> (carry, y)


class Found:
    """What one step told.

    first      its results; ys: those of them that are its y
    outside    the tensors that require grad and are no arguments
    constants  the memory of the others; ended: when that was
    own        whether each carry has memory of its own: that the step made, and no carry before it has
    """

    def __init__(
        self, carry: Tensors, ys: Tensors, outside: Tensors, constants: list[writes.Place], ended: int,
        own: list[bool],
    ) -> None:  # fmt: skip
        self.first, self.ys, self.outside = [*carry, *ys], ys, outside
        self.constants, self.ended = constants, ended
        self.count, self.own = len(ys), own


class BodyWatch(Recorder):
    """Refuses a write to memory that was there before: a step is not run as often as there are steps."""

    def __init__(self, f: Function) -> None:
        self.f = f
        self.own: dict[int, Array] = {}  # id of the array that owns memory -> that array
        self.looped: Tensors = []  # what scans inside were given: the backward pass sees each as one call of it

    def primitive(
        self, primitive: Primitive, args: tuple[object, ...], params: Params, result: object
    ) -> None:
        given = {id(writes.owner(a.data)) for a in args if isinstance(a, Tensor)}
        for r in result if isinstance(result, tuple) else (result,):
            home = writes.owner(r.data)
            if id(home) not in given:
                self.own[id(home)] = home

    def made(self, tensor: Tensor, shared: bool) -> None:
        if not shared:
            home = writes.owner(tensor.data)
            self.own[id(home)] = home

    def steps(self, steps: Steps) -> AbstractContextManager[object]:
        self.looped += steps.inputs
        return super().steps(steps)

    def becomes(self, tensor: Tensor) -> None:
        self.write(tensor, None)

    def write(self, tensor: Tensor, value: object) -> None:
        if id(writes.owner(tensor.data)) not in self.own:
            raise RuntimeError(
                f"scan: {label(self.f)} writes to {describe(tensor)}, which it did not make, and runs another "
                "number of times than there are steps: return it in the carry, and write c = c + x for c += x\n"
                + user_line()
            )


def probe(
    f: Function, step: Step, init: Tensors, xs: Tensors, length: int, reverse: bool, watched: bool
) -> Found:
    """Run one step for what it returns and uses: the first one, or one on zeros where there is none."""
    flags = current.get()
    begun = next_serial()
    with changed_flags(raw=False, recorder=None):
        slices = [
            x[-reverse] if length else ops.zeros_like_p(ops.sum(x.detach(), axis=0).astype(x.dtype))
            for x in xs
        ]
        leaves = [Tensor(t.data, requires_grad=flags.grad and is_floating(t.dtype)) for t in (*init, *slices)]
        watch = BodyWatch(f) if watched else None
        with (
            changed_flags(leaves=(*flags.leaves, *leaves), recorder=watch),
            random.noted_draws() as drawn,
            noted_leaves() as made,
        ):
            carry, ys = step(leaves[: len(init)], leaves[len(init) :])
    if drawn:
        raise RuntimeError(
            f"scan: {label(f)} draws random numbers, which its second run would draw again: draw them before, for "
            f"all steps, and give them as part of xs\n{user_line()}"
        )
    looped = [] if watch is None else watch.looped
    outside, constants = used_from_outside([*carry, *ys, *looped], leaves, begun, made)
    homes = [id(writes.owner(t.data)) for t in carry]
    own = [watch is None or (h in watch.own and h not in homes[:i]) for i, h in enumerate(homes)]
    carry, ys = ([t.detach() for t in part] for part in (carry, ys))
    return Found(carry, ys, outside, constants, next_serial(), own)


def refuse_another(f: Function, step: Step, init: Tensors, xs: Tensors, reverse: bool, found: Found) -> None:
    """Raise RuntimeError if the first step gives other results than it did when it was looked at."""
    with changed_flags(raw=False, grad=False, recorder=None):
        carry, ys = step([Tensor(t.data) for t in init], [x[-reverse] for x in xs])
    compare(f, [*carry, *ys], found)


def compared(f: Function, step: Step, found: Found) -> Step:
    """The step, whose first run is compared with the one that was looked at."""
    left = [found]

    def compared(carry: Tensors, x: Tensors) -> tuple[Tensors, Tensors]:
        after, ys = step(carry, x)
        if left:
            compare(f, [*after, *ys], left.pop())
        return after, ys

    return compared


def compare(f: Function, again: Tensors, found: Found) -> None:
    if not all(map(same_numbers, [t.data for t in again], [t.data for t in found.first])):
        raise RuntimeError(
            f"scan: {label(f)} gave other results when it ran again on the same arguments: what counts, draws or comes "
            "from an iterator belongs into the carry or xs, and what it uses besides must stay as it is until the "
            f"backward pass\n{user_line()}"
        )
