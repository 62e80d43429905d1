"""What an optimizer's step works on: raw arrays, block by block, or Tensors, which a recorder hears of.

`Arrays` and `Recorded` have one interface. `Optimizer.step` chooses one of them, once, and says the algorithm to it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from math import isfinite
from types import SimpleNamespace
from typing import Any

import numpy as np

from tapegrad.autograd import ops
from tapegrad.autograd.aliases import Value
from tapegrad.autograd.flags import Flags
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends.aliases import Function
from tapegrad.optim.aliases import Numbers, OptionNames, Slots, Updated
from tapegrad.optim.flat import FlatGroup, Range
from tapegrad.optim.norms import clip_factor, norm_of, scaled

Update = Callable[[Value, Value, Slots], Updated]
Prepare = Callable[[Any, FlatGroup, OptionNames], tuple[OptionNames, Function]]
Change = tuple[Value, Value]  # what is written to, and its new contents


def by_name(flat: FlatGroup, numbers: Numbers) -> SimpleNamespace:
    """Numbers, the options that are none or are off, where 0 is None, and the dtype's largest number."""
    names = SimpleNamespace(**numbers, largest=flat.largest)
    vars(names).update((name, value or None if name in numbers else value) for name, value in flat.structure)
    return names


def bounded(g: Value, inverse: Value) -> Value:
    return g / ops.maximum(ops.abs(g) * inverse, 1.0)


RAW_FLAGS = Flags(grad=False, raw=True)


class Arrays:
    """Raw arrays. Blocks stay in the processor's cache."""

    flags = RAW_FLAGS
    all_at_once = False  # whether all new values are worked out before one is written

    def prepared(self, flat: FlatGroup, prepare: Prepare) -> tuple[OptionNames, OptionNames, Function]:
        """The options by name, numbers in float64, and what `prepare` makes of them. Made again when an option was set,
        by hand or by a compiled step."""
        stamps = [t._version for _, t in flat.numbers]
        kept = flat.kept
        if kept.stamps != stamps or kept.structure is not flat.structure:
            options = by_name(flat, {name: t._data[()] for name, t in flat.numbers})
            kept.prepared = options, *prepare(self, flat, options)
            kept.stamps, kept.structure = stamps, flat.structure
        return kept.prepared

    def next_step(self, flat: FlatGroup) -> Value:
        """The number of the step that is to be done, in float64."""
        # [()] gives NumPy's scalar, which computes much faster than a 0-d array.
        return flat.step._data[()] + 1.0

    def totals(self, flat: FlatGroup) -> Numbers:
        return {name: t._data[()] for name, t in flat.totals.items()}

    def in_dtype(self, flat: FlatGroup, number: Value) -> Value:
        """A number worked out in float64, in the parameters' dtype."""
        if type(number) is np.float64:
            return flat.dtype.type(number)
        return flat.backend.asarray(number, dtype=flat.dtype, device=flat.device)

    def gradient(self, flat: FlatGroup, span: Range) -> Value:
        """The gradients of a range of parameters, end to end."""
        return flat.g._data[flat.ends[span[0]] : flat.ends[span[1]]]

    def shrink_each(self, flat: FlatGroup, span: Range, limit: Value) -> None:
        """Bring the norm of each parameter's gradient down to the limit."""
        for i in range(*span):
            factor = clip_factor(norm_of([self.gradient(flat, (i, i + 1))]), limit)
            for _, g, _ in flat.blocks_of((i, i + 1)):
                g[...] = scaled(g, factor)

    def bounded(self, g: Value, inverse: Value) -> Value:
        """g / max(|g| * inverse, 1): no element is larger than 1 / inverse. An infinite one becomes NaN."""
        if type(g) is np.ndarray and g.dtype.char != "e" and isfinite(np.vdot(g, g)):
            return g  # as it almost always is: no square overflows
        return bounded(g, inverse)

    def updated(self, flat: FlatGroup, spans: list[Range], update: Update, shaped: bool) -> Iterator[Change]:
        """What a step writes to the parameters and their state in these ranges; shaped: parameter by parameter."""
        for span in spans:
            whole = flat.all_blocks if span == flat.all_params else flat.blocks_of(span)
            for p, g, state in flat.each_of(span) if shaped else whole:
                value, news = update(p, g, state)
                yield p, value
                for slot, new in news.items():
                    yield state[slot], new

    def counted(self, flat: FlatGroup, step: Value, totals: Numbers) -> Iterator[Change]:
        yield flat.step._data, step
        for name, total in totals.items():
            yield flat.totals[name]._data, total

    def write(self, changes: Iterable[Change]) -> None:
        for target, value in changes:
            target[...] = value


ARRAYS = Arrays()


class Recorded:
    """Tensors, in one piece, so that the recorder hears every primitive."""

    all_at_once = True

    def __init__(self, flags: Flags) -> None:
        self.flags = replace(flags, grad=False)
        self.limits: dict[FlatGroup, Value] = {}

    def prepared(self, flat: FlatGroup, prepare: Prepare) -> tuple[OptionNames, OptionNames, Function]:
        options = by_name(flat, dict(flat.numbers))
        return options, *prepare(self, flat, options)

    def next_step(self, flat: FlatGroup) -> Tensor:
        return flat.step + 1.0

    def totals(self, flat: FlatGroup) -> Numbers:
        return flat.totals

    def in_dtype(self, flat: FlatGroup, number: Value) -> Value:
        return ops.astype(number, flat.dtype) if isinstance(number, Tensor) else number

    def gradient(self, flat: FlatGroup, span: Range) -> Value:
        parts = [ops.reshape_p(p._grad, shape=(p.size,)) for p in flat.params[span[0] : span[1]]]
        if (limit := self.limits.get(flat)) is not None:
            parts = [scaled(g, clip_factor(norm_of([g]), limit)) for g in parts]
        return ops.concat(parts)

    def shrink_each(self, flat: FlatGroup, span: Range, limit: Value) -> None:
        self.limits[flat] = limit

    def bounded(self, g: Value, inverse: Value) -> Value:
        return bounded(g, inverse)

    def updated(self, flat: FlatGroup, spans: list[Range], update: Update, shaped: bool) -> Iterator[Change]:
        buffers: dict[Any, Tensor] = {None: flat.p, **flat.state}
        values: dict[str | None, Value] = {}
        if shaped:
            spans = [(i, i + 1) for span in spans for i in range(*span)]
        for span in spans:
            at = slice(flat.ends[span[0]], flat.ends[span[1]])
            p, *state = (
                list(buffers.values()) if span == flat.all_params else [t[at] for t in buffers.values()]
            )
            g = self.gradient(flat, span)
            if shaped:
                shape = flat.params[span[0]].shape
                p, g, *state = (ops.reshape_p(t, shape=shape) for t in (p, g, *state))
            value, news = update(p, g, dict(zip(flat.state, state)))
            for slot, new in ((None, value), *news.items()):
                new = ops.reshape_p(new, shape=(new.size,)) if shaped else new
                if span != flat.all_params:
                    new = ops.index_update(values.get(slot, buffers[slot]), at, new)
                values[slot] = new
        for slot, value in values.items():
            yield buffers[slot], value

    def counted(self, flat: FlatGroup, step: Value, totals: Numbers) -> Iterator[Change]:
        yield flat.step, step
        for name, total in totals.items():
            yield flat.totals[name], total

    def write(self, changes: Iterable[Change]) -> None:
        for target, value in changes:
            target.assign(value)
