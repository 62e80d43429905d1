"""`FlatGroup`: many parameters in one buffer, which one pass updates."""

from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import accumulate
from typing import Any

import numpy as np

from tapegrad.autograd import writes
from tapegrad.autograd.aliases import Array
from tapegrad.autograd.dtypes import float64, name_of
from tapegrad.autograd.filled import full
from tapegrad.autograd.flags import current
from tapegrad.autograd.limits import apply, limits_of
from tapegrad.autograd.recorder import HostNumber
from tapegrad.autograd.tensor import Tensor
from tapegrad.autograd.writes import next_serial, store
from tapegrad.backends import backend_of
from tapegrad.optim.aliases import OptionValues, Slots
from tapegrad.optim.norms import block_size
from tapegrad.optim.options import Number, Option
from tapegrad.optim.schedules import Schedule, is_ours

Range = tuple[int, int]  # of parameters, by number: the first, and the one after the last
ONE_DEVICE = nullcontext()


class FlatGroup:
    """The parameters of one group, dtype and device, end to end in one buffer; their gradients and each part of their
    state in buffers of the same layout. Each parameter's `data` is a view of the buffer.

    numbers     every option that is a number, and is not off, as a 0-d float64 tensor: a compiled step reads it there
    structure   the other options, (name, value): where one changes, a compiled step is another program
    schedules   the options that are functions of the step, (name, function)
    step        how many steps were done, a 0-d float64 tensor
    limits      the constraints that a layer has for one of the parameters, (function, number of the parameter)
    totals      the parts of the state that are one number for all parameters, 0-d float64 tensors by name
    """

    def __init__(
        self, names: list[str], params: list[Tensor], slots: dict[str, float], totals: dict[str, float],
        kinds: Mapping[str, Option], options: OptionValues,
    ) -> None:  # fmt: skip
        self.names, self.params, self.kinds = names, params, kinds
        self.dtype, self.device, self.backend = params[0].dtype, params[0].device, params[0].backend
        self.ends = list(accumulate((p.size for p in params), initial=0))
        self.p, self.g = self.buffer(0.0), self.buffer(0.0)
        self.state = {slot: self.buffer(value) for slot, value in slots.items()}
        self.numbers = tuple((n, self.number(0.0)) for n, kind in kinds.items() if isinstance(kind, Number))
        self.step = self.number(0.0)
        self.totals = {name: self.number(value) for name, value in totals.items()}
        self.can_be_off = {n for n, kind in kinds.items() if isinstance(kind, Number) and kind.optional}
        self.largest = float(np.finfo(name_of(self.dtype)).max)
        self.limits = limits_of(params)
        self.kept = Kept()
        self.structure: tuple[tuple[str, object], ...] = ()
        self.schedules: tuple[tuple[str, Schedule], ...] = ()
        self.set_options(options, options)
        self.views = [self.view(self.p, i) for i in range(len(params))]
        self.gradient_slots = [(p, self.view(self.g, i), tuple(p.shape)) for i, p in enumerate(params)]
        self.all_params: Range = (0, len(params))
        self.all_blocks = list(self.blocks_of(self.all_params))
        self.memory = writes.place(self.p._data)
        self.attach(write)  # nobody has seen the buffer: nothing in it was changed

    def buffer(self, value: float) -> Tensor:
        return full((self.ends[-1],), value, dtype=self.dtype, device=self.device)

    def number(self, value: float) -> Tensor:
        return full((), value, dtype=float64, device=self.device)

    def view(self, buffer: Tensor, i: int) -> Array:
        """The part of a buffer that belongs to parameter i, in its shape: no copy."""
        return self.backend.xp.reshape(buffer._data[self.ends[i] : self.ends[i + 1]], self.params[i].shape)

    def scope(self) -> AbstractContextManager[object]:
        """Makes the buffers' device the current one."""
        return self.backend.scope(self.p._data) if self.backend.several_devices else ONE_DEVICE

    def counts(self) -> dict[str, float]:
        """The number of steps, as "steps", and the totals."""
        return {name: float(t._data) for name, t in {"steps": self.step, **self.totals}.items()}

    def count_on(self, counts: Mapping[str, float]) -> None:
        """Take up what `counts` gave."""
        for name, t in {"steps": self.step, **self.totals}.items():
            t.assign(counts[name])

    # ---- options ----
    def structure_with(self, options: OptionValues) -> tuple[tuple[str, object], ...]:
        """What the structure becomes with these options, of which each one has a value."""
        on = {name for name, _ in self.numbers if options[name] or name not in self.can_be_off}
        return tuple((name, options[name]) for name in self.kinds if name not in on)

    def set_options(self, options: OptionValues, changed: Container[str]) -> None:
        """Take up the values of those options that were set; `options` has the value of each one."""
        structure = self.structure_with(options)
        if structure != self.structure:
            self.structure = structure
        if (schedules := self.schedules_with(options)) != self.schedules:
            self.schedules = schedules
        for name, t in self.numbers_in_use().items():
            if name in changed:
                t.assign(self.scheduled(name) if callable(options[name]) else options[name])

    def schedules_with(self, options: OptionValues) -> tuple[tuple[str, Schedule], ...]:
        """What the schedules become with these options."""
        return tuple((name, options[name]) for name, _ in self.numbers if callable(options[name]))

    def scheduled(self, name: str) -> float:
        """An option's number for the next step. Raises as for a number that is given."""
        step = int(self.step._data)
        number = dict(self.schedules)[name](step)
        return float(self.kinds[name](f"{name} by its schedule at step {step}", number))

    def follow_schedules(self) -> None:
        """Set the options that have a schedule for the next step. A recorder hears a function of the step or, of a
        schedule that is not ours, a number that Python works out."""
        tensors, recorder = dict(self.numbers), current.get().recorder
        for name, schedule in self.schedules:
            if recorder is None:
                tensors[name].assign(self.scheduled(name))
            elif is_ours(schedule):
                tensors[name].assign(schedule(self.step))
            else:
                asked = partial(self.scheduled, name)
                what = f"the schedule of {name}"
                recorder.host_number(HostNumber(what, schedule, asked, self.step, tensors[name]))

    def numbers_in_use(self) -> dict[str, Tensor]:
        """The tensor of each number that is not off."""
        off = dict(self.structure)
        return {name: t for name, t in self.numbers if name not in off}

    def option(self, name: str) -> Any:
        """An option's value, or its schedule, which no recorder hears of."""
        return dict(self.schedules).get(name) or self.value(name)

    def value(self, name: str) -> Any:
        """An option's value, which no recorder hears of."""
        off = dict(self.structure)
        return off[name] if name in off else float(dict(self.numbers)[name]._data)

    def read_option(self, name: str) -> Any:
        """An option's value. A recorder hears of it, as of every number that Python asks for."""
        off = dict(self.structure)
        return off[name] if name in off else float(dict(self.numbers)[name].item())

    # ---- the parameters' own arrays ----
    def attached(self) -> bool:
        """Whether every parameter has its values here."""
        for p, view in zip(self.params, self.views):  # noqa: SIM110 (all() of a generator is slower)
            if p._data is not view:
                return False
        return True

    def can_attach(self) -> bool:
        """Whether the parameters' dtype and device are the buffer's."""
        return all(p.device == self.device and p.dtype == self.dtype for p in self.params)

    def attach(self, copy_in: Callable[[Array, Array], object] = store) -> None:
        """Copy each parameter into the buffer and make its `data` a view of it."""
        recorder = current.get().recorder
        for p, view in zip(self.params, self.views):
            if p._data is not view:
                if recorder is not None:
                    recorder.moved(p, view)
                copy_in(view, p._data)
                p._data = view

    # ---- gradients ----
    def collect_gradients(self) -> list[Range]:
        """Copy the gradients in. Returns the ranges of parameters that have one."""
        complete = True
        if (recorder := current.get().recorder) is not None:
            for p, *_ in self.gradient_slots:
                recorder.gradient_read(p)
        for p, view, shape in self.gradient_slots:
            g = p._grad
            if g is None or not p._requires_grad:
                complete = False
                continue
            array = g._data
            if type(array) is not type(view) or array.shape != shape:
                self.raise_bad_gradient(p)
            view[...] = array
        return [self.all_params] if complete else self.ranges_with_gradient()

    def ranges_with_gradient(self) -> list[Range]:
        ranges: list[Range] = []
        for i, p in enumerate(self.params):
            if p._grad is not None and p._requires_grad:
                if ranges and ranges[-1][1] == i:
                    ranges[-1] = (ranges[-1][0], i + 1)
                else:
                    ranges.append((i, i + 1))
        return ranges

    def raise_bad_gradient(self, p: Tensor) -> None:
        name = next(name for name, other in zip(self.names, self.params) if other is p)
        if not isinstance(p._grad, Tensor):
            raise TypeError(f"the gradient of {name!r} is not a tensor but {type(p._grad).__name__}")
        raise ValueError(
            f"the gradient of {name!r} has shape {p._grad.shape} on {p._grad.device}, "
            f"the parameter {p.shape} on {p.device}"
        )

    def constrain(self) -> None:
        """Apply the constraints."""
        with self.scope():
            apply((constraint, self.params[i]) for constraint, i in self.limits)

    # ---- pieces ----
    def blocks_of(self, span: Range) -> Iterator[tuple[Array, Array, Slots]]:
        """A range of parameters in pieces (p, g, state) of at most a block of elements: views, as raw arrays."""
        start, stop, size = self.ends[span[0]], self.ends[span[1]], block_size(self.device)
        for a in range(start, stop, size):
            b = min(a + size, stop)
            state = {slot: buffer._data[a:b] for slot, buffer in self.state.items()}
            yield self.p._data[a:b], self.g._data[a:b], state

    def each_of(self, span: Range) -> Iterator[tuple[Array, Array, Slots]]:
        """A range of parameters one by one, (p, g, state) in their shapes: views, as raw arrays."""
        for i in range(*span):
            yield (
                self.views[i],
                self.view(self.g, i),
                {slot: self.view(t, i) for slot, t in self.state.items()},
            )

    def mark_changed(self, span: Range) -> None:
        """Mark parameters as written to: a graph recorded with the old values refuses to be gone back through."""
        now = next_serial()
        for p in self.params[span[0] : span[1]]:
            p._version = now
        part = span != self.all_params
        at = writes.place(self.p._data[self.ends[span[0]] : self.ends[span[1]]]) if part else self.memory
        writes.mark(at, now)


class Kept:
    """What an eager step worked out from the options, until one of them is set."""

    __slots__ = ("prepared", "stamps", "structure")

    def __init__(self) -> None:
        self.prepared: Any = None
        self.stamps: list[int] = []
        self.structure: tuple[tuple[str, object], ...] | None = None


def write(view: Array, array: Array) -> None:
    """Copy an array into a view, from whichever backend and device."""
    home, source = backend_of(view), backend_of(array)
    if source is not home or source.device_of(array) != home.device_of(view):
        array = home.asarray(source.to_numpy(array), device=home.device_of(view))
    view[...] = array
