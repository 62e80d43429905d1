"""`Flat`: many parameters in one buffer, so that an update is one pass and not one for each of them."""

from collections.abc import Iterator
from itertools import accumulate
from typing import Any

from tapegrad.autograd import ops
from tapegrad.autograd.creation import full
from tapegrad.autograd.dtypes import float64
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends import backend_of

Range = tuple[int, int]


def block_size(device: str) -> int:
    """How many elements to work on at once: on a CPU what stays in its cache; on a GPU, where each pass costs a launch
    however small it is, what bounds the memory for intermediate results."""
    return 1 << 24 if device.startswith("cuda") else 1 << 16


def write(view: Any, array: Any) -> None:
    """Copy an array into a view, from whichever backend and device."""
    home, source = backend_of(view), backend_of(array)
    if source is not home or source.device_of(array) != home.device_of(view):
        array = home.asarray(source.to_numpy(array), device=home.device_of(view))
    view[...] = array


class Flat:
    """The parameters of one group, dtype and device, end to end in one buffer; their gradients and each part of their
    state in buffers of the same layout. Each parameter's `data` is a view of the buffer.

    The learning rate and the number of steps, which change over time, are 0-d float64 arrays beside it.
    """

    def __init__(self, names: list[str], params: list[Tensor], options: Any, slots: dict[str, float]) -> None:
        self.names, self.params, self.options = names, params, options
        self.dtype, self.device, self.backend = params[0].dtype, params[0].device, params[0].backend
        self.ends = list(accumulate((p.size for p in params), initial=0))
        self.p, self.g = self.buffer(0.0), self.buffer(0.0)
        self.state = {slot: self.buffer(value) for slot, value in slots.items()}
        self.lr = full((), 0.0, dtype=float64, device=self.device)
        self.step = full((), 0.0, dtype=float64, device=self.device)
        self.views = [self.view(self.p, i) for i in range(len(params))]
        self.gradient_views = [self.view(self.g, i) for i in range(len(params))]
        self.everything: list[Range] = [(0, len(params))]
        self.all_blocks = list(self.cut(0, self.ends[-1]))
        self.link()

    def buffer(self, value: float) -> Tensor:
        return full((self.ends[-1],), value, dtype=self.dtype, device=self.device)

    def view(self, buffer: Tensor, i: int) -> Any:
        """The part of a buffer that belongs to parameter i, in its shape: no copy."""
        return self.backend.xp.reshape(buffer.data[self.ends[i] : self.ends[i + 1]], self.params[i].shape)

    # ---- the parameters' own arrays ----
    def linked(self) -> bool:
        """Whether every parameter still has its values here."""
        for p, view in zip(self.params, self.views, strict=True):  # noqa: SIM110 (all() of a generator is slower)
            if p.data is not view:
                return False
        return True

    def fits(self) -> bool:
        """Whether the parameters' arrays, though others, could be copied in: their dtype and device are the same."""
        return all(p.dtype == self.dtype and p.device == self.device for p in self.params)

    def link(self) -> None:
        """Copy in the values of the parameters that have them elsewhere, and let them have them here."""
        for p, view in zip(self.params, self.views, strict=True):
            if p.data is not view:
                view[...] = p.data
                p.data = view

    # ---- gradients ----
    def gather(self) -> list[Range]:
        """Copy the gradients in. Returns the ranges of parameters that have one."""
        complete = True
        for i, (p, view) in enumerate(zip(self.params, self.gradient_views, strict=True)):
            g = p.grad
            if g is None:
                complete = False
                continue
            array = g.data
            if type(array) is not type(view) or array.shape != view.shape:
                self.refuse(i, g)
            view[...] = array
        return self.everything if complete else self.ranges()

    def ranges(self) -> list[Range]:
        """The ranges of parameters that have a gradient."""
        found: list[Range] = []
        for i, p in enumerate(self.params):
            if p.grad is not None:
                joins = bool(found) and found[-1][1] == i
                found[-1:] = [(found[-1][0], i + 1)] if joins else [*found[-1:], (i, i + 1)]
        return found

    def refuse(self, i: int, g: Any) -> None:
        p = self.params[i]
        if not isinstance(g, Tensor):
            raise TypeError(f"the gradient of {self.names[i]!r} is not a tensor but {type(g).__name__}")
        raise ValueError(
            f"the gradient of {self.names[i]!r} has shape {g.shape} on {g.device}, "
            f"the parameter {p.shape} on {p.device}"
        )

    # ---- pieces to update ----
    def cut(self, start: int, stop: int) -> Iterator[list[Any]]:
        """Views [p, g, *state] of at most a block of elements each."""
        step = block_size(self.device)
        for a in range(start, stop, step):
            b = min(a + step, stop)
            yield [buffer.data[a:b] for buffer in (self.p, self.g, *self.state.values())]

    def blocks(self, span: Range) -> Any:
        """The pieces of a range of parameters, as raw arrays that are views."""
        return (
            self.all_blocks
            if span == (0, len(self.params))
            else self.cut(self.ends[span[0]], self.ends[span[1]])
        )

    def gradient(self, span: Range, recording: bool) -> Any:
        """The gradients of a range of parameters, end to end; made by primitives if a recorder is to see it."""
        i, j = span
        if recording:
            return ops.concat([ops.reshape(p.grad, (-1,)) for p in self.params[i:j]])
        return self.g.data[self.ends[i] : self.ends[j]]

    def tensors(self, span: Range) -> list[Tensor]:
        """A range in one piece, made by primitives, for a recorder to see."""
        i, j = span
        whole = [self.p, *self.state.values()]
        if span != (0, len(self.params)):
            whole = [t[self.ends[i] : self.ends[j]] for t in whole]
        return [whole[0], self.gradient(span, True), *whole[1:]]

    def assign(self, span: Range, new: Any) -> None:
        """Write what `tensors` became."""
        for t, value in zip((self.p, *self.state.values()), new, strict=True):
            if span != (0, len(self.params)):
                value = ops.index_update(t, slice(self.ends[span[0]], self.ends[span[1]]), value)
            t.assign(value)
