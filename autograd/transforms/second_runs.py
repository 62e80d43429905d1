"""What makes a second run of a user's function as the first one was, for `checkpoint`, `custom_gradient` and `scan`.

Three things may differ. What the function wrote to, as a layer does to its running mean: the second run begins with
what was there before the first one, and what it writes is taken back, so that everything is written once. What
requires grad: a weight that was frozen since is differentiated for all the same, as plain code would. And whatever else
the function uses, such as NumPy's random numbers or a counter: the results are compared.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from weakref import ref

from tapegrad.autograd.copies import copied
from tapegrad.autograd.flags import current
from tapegrad.autograd.tensor import Tensor, overwrite
from tapegrad.autograd.transforms.calls import same_numbers
from tapegrad.autograd.writes import NOTING
from tapegrad.backends.aliases import Array


class noted_writes:
    """`with noted_writes() as written:` around the first run. Then `written.end()` once what it made is gone, and
    `with written.once():` around the second run."""

    def __init__(self) -> None:
        # id of what was written -> it, and a copy before
        self.before: dict[int, tuple[ref[Tensor], Tensor]] = {}

    def __enter__(self) -> "noted_writes":
        self.token = NOTING.set((*NOTING.get(), self.note))
        return self

    def __exit__(self, *error: object) -> None:
        NOTING.reset(self.token)

    def note(self, t: Tensor) -> None:
        """t is about to be written to."""
        known = self.before.get(id(t))
        if known is None or known[0]() is not t:
            self.before[id(t)] = ref(t), copied(t)

    def end(self) -> None:
        """Forget what the run made itself: it is gone, and a second run makes its own."""
        self.before = {i: pair for i, pair in self.before.items() if pair[0]() is not None}

    @contextmanager
    def once(self) -> Iterator[None]:
        """Inside, what was written holds what it held before the first run; afterwards, what it holds now."""
        alive = [(t, before) for kept, before in self.before.values() if (t := kept()) is not None]
        now = [copied(t) for t, _ in alive]
        try:
            for t, before in alive:
                overwrite(t, before)
            yield
        finally:
            recorded = current.get().recorder is not None
            for (t, _), value in zip(alive, now, strict=True):
                # A write of the same would make `backward` refuse what the second run recorded.
                if recorded or not same_numbers(t.data, value.data, exactly=True):
                    overwrite(t, value)


@contextmanager
def requiring_grad(tensors: Sequence[Tensor]) -> Iterator[None]:
    """Inside, these require grad, as they did in the first run, whether they have been frozen since or not."""
    frozen = [t for t in tensors if not t._requires_grad]
    try:
        for t in frozen:
            t._requires_grad = True
        yield
    finally:
        for t in frozen:
            t._requires_grad = False


def refuse_other_results(who: str, found: Sequence[object], arrays: Sequence[Array], remedy: str) -> None:
    """Raise RuntimeError where the second run gave others than the first one, whose raw arrays are given."""
    shapes = [getattr(r, "shape", None) for r in found]
    if shapes != [a.shape for a in arrays]:
        raise RuntimeError(
            f"{who} gave results of shapes {[a.shape for a in arrays]}, and {shapes} when the backward pass ran it "
            "again: it must compute the same both times"
        )
    recorder = current.get().recorder
    if recorder is not None and not recorder.compares:
        return
    again = [r.data for r in found if isinstance(r, Tensor)]
    if not all(map(same_numbers, again, arrays)):
        raise RuntimeError(f"{who} gave other numbers when the backward pass ran it again: {remedy}")
