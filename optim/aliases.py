"""Types of an optimizer's arguments by name, for annotations."""

from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any, Protocol, TypeAlias

from tapegrad.autograd.aliases import Value
from tapegrad.autograd.tensor import Tensor
from tapegrad.optim.schedules import Schedule


class Trainable(Protocol):
    """A Module, or whatever names its parameters as one does."""

    def named_parameters(self) -> Iterable[tuple[str, Any]]: ...


Groups: TypeAlias = Iterable[Mapping[str, Any]]  # {"params": …, and options that this group has for itself}
ParamsLike: TypeAlias = (
    Trainable | Iterable[Tensor] | Iterable[tuple[str, Any]] | Mapping[str, Tensor] | Groups
)
NumberLike: TypeAlias = float | Schedule  # an option that is a number: one for all steps, or one for each
# The first argument of an optimizer: parameters, or a learning rate for parameters that come later.
FirstLike: TypeAlias = ParamsLike | NumberLike | None
OptionValues: TypeAlias = dict[str, Any]  # numbers, None, booleans and names, by the name of the option
OptionNames: TypeAlias = SimpleNamespace  # the same as attributes, for formulas: options.lr
Numbers: TypeAlias = dict[str, Value]  # what a formula needs, worked out of the options in float64
Slots: TypeAlias = dict[str, Value]  # the state of a parameter by slot, such as "momentum"
Updated: TypeAlias = tuple[Value, Slots]  # a parameter and its state after a step
