"""`Flat`: many parameters in one buffer, so that an update is one pass and not one for each of them."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import accumulate
from typing import Any

from tapegrad.autograd import ops, writes
from tapegrad.autograd.creation import full
from tapegrad.autograd.dtypes import float64
from tapegrad.autograd.flags import current
from tapegrad.autograd.tensor import Tensor
from tapegrad.autograd.writes import store, tick
from tapegrad.backends import backend_of
from tapegrad.optim.norms import block_size, clip_factor, scaled, squared_norm

Range = tuple[int, int]  # of parameters, by number: the first, and the one after the last
ONE_DEVICE = nullcontext()


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
        self.places = [(p, self.view(self.g, i), tuple(p.shape)) for i, p in enumerate(params)]
        self.everything: Range = (0, len(params))
        self.all_blocks = list(self.cut(self.everything))
        self.memory = writes.place(self.p.data)
        self.link()

    def buffer(self, value: float) -> Tensor:
        return full((self.ends[-1],), value, dtype=self.dtype, device=self.device)

    def view(self, buffer: Tensor, i: int) -> Any:
        """The part of a buffer that belongs to parameter i, in its shape: no copy."""
        return self.backend.xp.reshape(buffer.data[self.ends[i] : self.ends[i + 1]], self.params[i].shape)

    def scope(self) -> AbstractContextManager[Any]:
        """Makes the buffers' device the current one."""
        return self.backend.scope(self.p.data) if self.backend.several_devices else ONE_DEVICE

    # ---- the parameters' own arrays ----
    def linked(self) -> bool:
        """Whether every parameter has its values here."""
        for p, view in zip(self.params, self.views):  # noqa: SIM110 (all() of a generator is slower)
            if p.data is not view:
                return False
        return True

    def fits(self) -> bool:
        """Whether values that the parameters have elsewhere could be copied in: their dtype and device are these."""
        return all(p.device == self.device and p.dtype == self.dtype for p in self.params)

    def link(self) -> None:
        """Copy in the values that parameters have elsewhere, and let them have them here."""
        recorder = current.get().recorder
        for p, view in zip(self.params, self.views):
            if p.data is not view:
                if recorder is not None:
                    recorder.moved(p)
                store(view, p.data)
                p.data = view

    # ---- gradients ----
    def gather(self) -> list[Range]:
        """Copy the gradients in. Returns the ranges of parameters that have one."""
        complete = True
        if (recorder := current.get().recorder) is not None:
            for p, *_ in self.places:
                recorder.gradient_read(p)
        for p, view, shape in self.places:
            g = p._grad
            if g is None:
                complete = False
                continue
            array = g.data
            if type(array) is not type(view) or array.shape != shape:
                self.refuse(p)
            view[...] = array
        if self.options.clipnorm is not None and current.get().recorder is None:  # else `gradient` sees to it
            for i, p in enumerate(self.params):
                if p._grad is not None:
                    self.shrink(i)
        return [self.everything] if complete else self.ranges()

    def ranges(self) -> list[Range]:
        found: list[Range] = []
        for i, p in enumerate(self.params):
            if p._grad is not None:
                if found and found[-1][1] == i:
                    found[-1] = (found[-1][0], i + 1)
                else:
                    found.append((i, i + 1))
        return found

    def shrink(self, i: int) -> None:
        """Bring the norm of a gathered gradient down to the option clipnorm."""
        factor = clip_factor(squared_norm(self.gradient((i, i + 1), False)), self.options.clipnorm)
        for _, g, *_ in self.cut((i, i + 1)):
            g[...] = scaled(g, factor)

    def gradient(self, span: Range, recording: bool) -> Any:
        """The gradients of a range of parameters, end to end; made by primitives if a recorder is to see it."""
        i, j = span
        if not recording:
            return self.g.data[self.ends[i] : self.ends[j]]
        parts = [ops.reshape_p(p._grad, shape=(p.size,)) for p, *_ in self.places[i:j]]
        if (limit := self.options.clipnorm) is not None:
            parts = [scaled(g, clip_factor(squared_norm(g), limit)) for g in parts]
        return ops.concat(parts)

    def refuse(self, p: Tensor) -> None:
        name = next(name for name, other in zip(self.names, self.params) if other is p)
        if not isinstance(p._grad, Tensor):
            raise TypeError(f"the gradient of {name!r} is not a tensor but {type(p._grad).__name__}")
        raise ValueError(
            f"the gradient of {name!r} has shape {p._grad.shape} on {p._grad.device}, "
            f"the parameter {p.shape} on {p.device}"
        )

    # ---- what changes over time ----
    def next_step(self, recording: bool) -> tuple[Any, Any]:
        """The learning rate, and the number of the step that is to be done."""
        if recording:
            return self.lr, self.step + 1.0
        # Of NumPy's 0-d arrays these are scalars, with which it is much faster.
        return self.lr.data[()], self.step.data[()] + 1.0

    def cast(self, number: Any, recording: bool) -> Any:
        """A number worked out in float64, in the parameters' dtype."""
        if recording:
            return ops.astype(number, self.dtype)
        return self.backend.asarray(number, dtype=self.dtype, device=self.device)

    # ---- pieces to update ----
    def cut(self, span: Range) -> Iterator[list[Any]]:
        """A range of parameters in pieces [p, g, *state] of at most a block of elements: views, as raw arrays."""
        start, stop, size = self.ends[span[0]], self.ends[span[1]], block_size(self.device)
        for a in range(start, stop, size):
            b = min(a + size, stop)
            yield [buffer.data[a:b] for buffer in (self.p, self.g, *self.state.values())]

    def blocks(self, span: Range) -> Any:
        return self.all_blocks if span == self.everything else self.cut(span)

    def tensors(self, span: Range) -> list[Tensor]:
        """A range in one piece, made by primitives, for a recorder to see."""
        buffers = [self.p, *self.state.values()]
        if span != self.everything:
            buffers = [t[self.ends[span[0]] : self.ends[span[1]]] for t in buffers]
        return [buffers[0], self.gradient(span, True), *buffers[1:]]

    def joined(self, ranges: list[Range], news: list[Any]) -> Iterator[tuple[Tensor, Tensor]]:
        """The buffers, and their contents with what became of `tensors` of each range."""
        for number, buffer in enumerate((self.p, *self.state.values())):
            value: Any = buffer
            for span, new in zip(ranges, news):
                at = slice(self.ends[span[0]], self.ends[span[1]])
                value = new[number] if span == self.everything else ops.index_update(value, at, new[number])
            yield buffer, value

    def stamp(self, span: Range) -> None:
        """Mark parameters as written to: a graph recorded with the old values refuses to be gone back through."""
        now = tick()
        for p in self.params[span[0] : span[1]]:
            p.changed = now
        part = span != self.everything
        at = writes.place(self.p.data[self.ends[span[0]] : self.ends[span[1]]]) if part else self.memory
        writes.mark(at, now)


def write(view: Any, array: Any) -> None:
    """Copy an array into a view, from whichever backend and device."""
    home, source = backend_of(view), backend_of(array)
    if source is not home or source.device_of(array) != home.device_of(view):
        array = home.asarray(source.to_numpy(array), device=home.device_of(view))
    view[...] = array
