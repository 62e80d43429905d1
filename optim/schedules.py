"""Schedules: what an option of an optimizer becomes with the number of the step.

Each is a function of the number of steps done, from 0, and may stand wherever an option's number may:
`Adam(model, lr=Cosine(0.001, 1000))`, `opt.momentum = …`, `opt.groups[0].lr = …`. The optimizer asks it before each
step. In a compiled step it is a part of the program.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from math import pi
from typing import Any

import numpy as np

from tapegrad.autograd.aliases import Value
from tapegrad.autograd.arguments import above_0, number
from tapegrad.autograd.attributes import KeepsMethods
from tapegrad.autograd.flags import Flags, current
from tapegrad.autograd.foreign import entry
from tapegrad.autograd.ops import cos, floor, log, maximum, minimum, power, where_p
from tapegrad.autograd.tensor import Tensor

RAW = Flags(grad=False, raw=True)


class Schedule(KeepsMethods):
    """A number for each step: `schedule(step)` is a float for a number of Python, a Tensor for a Tensor.

    Schedules never change: two with the same numbers are equal. A subclass is a frozen dataclass with `at`.
    """

    def at(self, step: Value) -> Value:
        """The number at a step, in float64, by operators and functions of tapegrad."""
        raise NotImplementedError

    def __call__(self, step: Value) -> Value:
        if isinstance(step, Tensor):
            return self.at(step)
        flags = current.get()
        try:
            current.set(RAW)
            return float(self.at(np.float64(step)))
        finally:
            current.set(flags)

    def config(self) -> dict[str, object]:
        """The schedule as plain data, of which `from_config` makes it again."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        return {"schedule": type(self).__name__, **{name: plain(value) for name, value in values.items()}}

    def __post_init__(self) -> None:
        self.check()

    def check(self, *positive: str) -> None:
        """Refuse a field that is no finite number, or of those named one that is not above 0. A tensor or an array of
        one number becomes that number."""
        for field in fields(self):  # type: ignore[arg-type]
            value, name = getattr(self, field.name), f"{type(self).__name__}: {field.name}"
            if field.name in positive:
                checked = above_0(name, value)
            elif field.type is float or (field.type == float | None and value is not None):
                checked = number(name, value)
            else:
                continue
            if type(value) not in (int, float):
                object.__setattr__(self, field.name, checked)


def plain(value: object) -> object:
    if isinstance(value, tuple):
        return [plain(part) for part in value]
    return value.config() if isinstance(value, Schedule) else value


@dataclass(frozen=True)
class Constant(Schedule):
    """`value`, whatever the step."""

    value: float

    def at(self, step: Value) -> Value:
        return self.value + 0.0 * step


@dataclass(frozen=True)
class StepDecay(Schedule):
    """Multiplied by `factor` after every so many steps: value * factor**floor(step / every)."""

    value: float
    every: float
    factor: float = 0.1

    def __post_init__(self) -> None:
        self.check("every", "factor")

    def at(self, step: Value) -> Value:
        return self.value * power(self.factor, floor(step / self.every))


@dataclass(frozen=True)
class Piecewise(Schedule):
    """values[0] until the step steps[0], from there values[1], and so on: one value more than steps."""

    values: tuple[float, ...]
    steps: tuple[float, ...]

    def __init__(self, values: Sequence[float], steps: Sequence[float]) -> None:
        object.__setattr__(self, "values", several("Piecewise: values", values))
        object.__setattr__(self, "steps", increasing("Piecewise", steps))
        if len(self.values) != len(self.steps) + 1:
            raise ValueError(
                f"Piecewise: expected one value more than steps, got {len(self.values)} values and "
                f"{len(self.steps)} steps"
            )
        self.check()

    def at(self, step: Value) -> Value:
        value = self.values[0] + 0.0 * step
        for start, later in zip(self.steps, self.values[1:]):
            value = where_p(step >= start, later + 0.0 * step, value)
        return value


@dataclass(frozen=True)
class MultiStep(Schedule):
    """Multiplied by `factor` at each of the given steps."""

    value: float
    steps: tuple[float, ...]
    factor: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", increasing("MultiStep", self.steps))
        self.check("factor")

    def at(self, step: Value) -> Value:
        values = [self.value * self.factor**n for n in range(len(self.steps) + 1)]
        return Piecewise(values, self.steps).at(step)


@dataclass(frozen=True)
class Exponential(Schedule):
    """value * factor**(step / every)."""

    value: float
    factor: float
    every: float = 1.0

    def __post_init__(self) -> None:
        self.check("factor", "every")

    def at(self, step: Value) -> Value:
        return self.value * power(self.factor, step / self.every)


@dataclass(frozen=True)
class InverseTime(Schedule):
    """value / (1 + rate * step / every)."""

    value: float
    rate: float
    every: float = 1.0

    def __post_init__(self) -> None:
        self.check("rate", "every")

    def at(self, step: Value) -> Value:
        return self.value / (1.0 + self.rate * (step / self.every))


@dataclass(frozen=True)
class Polynomial(Schedule):
    """From value to end in so many steps: end + (value - end) * (1 - step / steps)**power. Power 1 is a line."""

    value: float
    steps: float
    end: float = 0.0
    power: float = 1.0

    def __post_init__(self) -> None:
        self.check("steps", "power")

    def at(self, step: Value) -> Value:
        left = maximum(1.0 - step / self.steps, 0.0)
        return self.end + (self.value - self.end) * power(left, self.power)


@dataclass(frozen=True)
class Cosine(Schedule):
    """From value to end in so many steps, along half a cosine."""

    value: float
    steps: float
    end: float = 0.0

    def __post_init__(self) -> None:
        self.check("steps")

    def at(self, step: Value) -> Value:
        return between(self.value, self.end, minimum(step / self.steps, 1.0))


@dataclass(frozen=True)
class CosineRestarts(Schedule):
    """Cosine again and again: each time `growth` times as long, from a value `shrink` times as large.

    I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.
    """

    value: float
    steps: float
    end: float = 0.0
    growth: float = 1.0
    shrink: float = 1.0

    def __post_init__(self) -> None:
        self.check("steps", "shrink")
        if self.growth < 1:
            raise ValueError(f"CosineRestarts: growth: expected a number of at least 1, got {self.growth!r}")

    def at(self, step: Value) -> Value:
        done = step / self.steps
        if self.growth == 1:
            number = floor(done)
            part = done - number
        else:
            # The sum of the lengths before is (growth**number - 1) / (growth - 1). 1e-9 is for rounding at a restart.
            more = self.growth - 1.0
            number = floor(log(1.0 + done * more) / np.log(self.growth) + 1e-9)
            length = power(self.growth, number)
            part = maximum((done - (length - 1.0) / more) / length, 0.0)
        return between(self.end + (self.value - self.end) * power(self.shrink, number), self.end, part)


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up from start to peak in the first part of the steps, `up`, and down to end in the others, along cosines.

    start, end   peak / 25 and peak / 250 000 where they are left out. For a momentum that goes the other way:
                 `OneCycle(0.85, steps, start=0.95, end=0.95)`

    L. Smith, N. Topin, "Super-convergence", 2018. The last step is the one of number steps - 1, as in PyTorch.
    """

    peak: float
    steps: float
    start: float | None = None
    end: float | None = None
    up: float = 0.3

    def __post_init__(self) -> None:
        self.check("steps")
        if not 0 < self.up < 1 or self.up * self.steps <= 1:
            raise ValueError(
                f"OneCycle: up: expected a part of the steps, between 0 and 1 and more than one step, got {self.up!r}"
            )

    def at(self, step: Value) -> Value:
        start = self.peak / 25 if self.start is None else self.start
        end = self.peak / 250_000 if self.end is None else self.end
        top = self.up * self.steps - 1.0
        rising = between(start, self.peak, minimum(step / top, 1.0))
        falling = between(self.peak, end, minimum(maximum((step - top) / (self.steps - 1.0 - top), 0.0), 1.0))
        return where_p(step <= top, rising, falling)


@dataclass(frozen=True)
class Warmup(Schedule):
    """A line from start to a schedule's first number in so many steps; then the schedule, from its own step 0.

    then   a Schedule, or a number that is kept
    """

    then: Any
    steps: float
    start: float = 0.0

    def __post_init__(self) -> None:
        self.check("steps")
        object.__setattr__(self, "then", as_schedule("Warmup: then", self.then))

    def at(self, step: Value) -> Value:
        first = self.then.at(0.0 * step)
        rising = self.start + (first - self.start) * (step / self.steps)
        return where_p(step < self.steps, rising, self.then.at(maximum(step - self.steps, 0.0)))


@dataclass(frozen=True)
class Chained(Schedule):
    """One schedule after another: the next one begins, at its own step 0, when the one before has had its steps.

    schedules   Schedules or numbers, one more than lengths
    lengths     how many steps each but the last one has
    """

    schedules: tuple[Schedule, ...]
    lengths: tuple[float, ...]

    def __init__(self, schedules: Sequence[float | Schedule], lengths: Sequence[float]) -> None:
        if not isinstance(schedules, (list, tuple)):
            raise TypeError(f"Chained: schedules must be a list of schedules or numbers, got {schedules!r}")
        object.__setattr__(self, "schedules", tuple(as_schedule("Chained: schedules", s) for s in schedules))
        object.__setattr__(self, "lengths", several("Chained: lengths", lengths))
        if len(self.schedules) != len(self.lengths) + 1 or not all(n > 0 for n in self.lengths):
            raise ValueError(
                f"Chained: expected lengths above 0, one fewer than schedules, got {len(self.schedules)} schedules and "
                f"lengths {list(self.lengths)}"
            )
        self.check()

    def at(self, step: Value) -> Value:
        value, start = self.schedules[0].at(step), 0.0
        for length, schedule in zip(self.lengths, self.schedules[1:]):
            start += length
            value = where_p(step >= start, schedule.at(maximum(step - start, 0.0)), value)
        return value


def between(first: float, last: Value, part: Value) -> Value:
    """From first to last along half a cosine, at a part of the way."""
    return last + (first - last) * (0.5 * (1.0 + cos(pi * part)))


def several(name: str, values: Sequence[float]) -> tuple[float, ...]:
    if not isinstance(values, (list, tuple, np.ndarray)):
        raise TypeError(f"{name} must be a list of numbers, got {values!r}")
    checked = [number(name, value) for value in values]
    return tuple(v if type(v) in (int, float) else n for v, n in zip(values, checked, strict=True))


def increasing(who: str, steps: Sequence[float]) -> tuple[float, ...]:
    given = several(f"{who}: steps", steps)
    if any(a >= b for a, b in pairwise(given)):
        raise ValueError(f"{who}: steps: expected increasing numbers, got {list(steps)}")
    return given


def as_schedule(name: str, value: float | Schedule) -> Schedule:
    if isinstance(value, dict) and "schedule" in value:
        return from_config(value)
    return value if isinstance(value, Schedule) else Constant(number(name, value))


KINDS: dict[str, type[Schedule]] = {
    kind.__name__: kind
    for kind in (
        Constant, StepDecay, Piecewise, MultiStep, Exponential, InverseTime, Polynomial, Cosine, CosineRestarts,
        OneCycle, Warmup, Chained,
    )
}  # fmt: skip
__all__ = ["Schedule", *KINDS]


def is_ours(schedule: object) -> bool:
    """Whether this is one of these schedules, which work on Tensors, and not a function or a class of the user's."""
    return type(schedule) in KINDS.values()


def from_config(config: dict[str, object]) -> Schedule:
    """The schedule that `config()` described. Raises ValueError for an unknown one."""
    name = config.get("schedule")
    if name not in KINDS:
        raise ValueError(f"from_config: unknown schedule {name!r}; known are {', '.join(KINDS)}")
    return KINDS[name](**{key: value for key, value in config.items() if key != "schedule"})


# What PyTorch and Keras call a schedule, and what to write here.
FOREIGN_NAMES = {
    "LambdaLR": "none: give the function itself, as in lr=lambda step: 0.1 * 0.95**step",
    "ConstantLR": "Piecewise([factor * value, value], [total_iters])",
    "LinearLR": "Warmup(value, steps, start)",
    "StepLR": "StepDecay(value, every, factor=gamma)",
    "MultiStepLR": "MultiStep(value, steps=milestones, factor=gamma)",
    "ExponentialLR": "Exponential(value, factor=gamma)",
    "PolynomialLR": "Polynomial(value, steps, power=1.0)",
    "CosineAnnealingLR": "Cosine(value, steps, end=eta_min)",
    "CosineAnnealingWarmRestarts": "CosineRestarts(value, steps, end=eta_min, growth=T_mult)",
    "OneCycleLR": "OneCycle(peak, steps)",
    "SequentialLR": "Chained(schedules, lengths)",
    "ReduceLROnPlateau": "optim.Plateau(opt) # or in fit the callback models.ReduceLROnPlateau()",
    "ExponentialDecay": "Exponential(value, factor, every=decay_steps) # or StepDecay for staircase=True",
    "PiecewiseConstantDecay": "Piecewise(values, [b + 1 for b in boundaries]) # Keras changes after a boundary",
    "InverseTimeDecay": "InverseTime(value, rate, every)",
    "PolynomialDecay": "Polynomial(value, steps, end, power)",
    "CosineDecay": "Cosine(value, steps, end) # after a warm-up Warmup(Cosine(…), steps)",
    "CosineDecayRestarts": "CosineRestarts(value, steps, end, growth=t_mul, shrink=m_mul)",
    "LearningRateSchedule": "Schedule",
}


def __getattr__(name: str) -> Any:
    if name in FOREIGN_NAMES:
        said = str(entry(name, FOREIGN_NAMES[name]))
    else:
        said = f"there are {', '.join(__all__)}"
    raise AttributeError(f"module 'tapegrad.optim.schedules' has no attribute {name!r}: {said}")
