"""The constraints of parameters: a layer says which ones its weights have, every optimizer applies them in its step.

A constraint is an attribute of a Module, which may be set at any time, and an optimizer knows parameters only. So the
modules that have one are listed here, and each change is told to the optimizers.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeAlias
from weakref import WeakSet, WeakValueDictionary

from tapegrad.autograd.aliases import Function
from tapegrad.autograd.flags import no_grad
from tapegrad.autograd.tensor import Parameter, Tensor

# (constraint, the number of the parameter that it is for)
Limits: TypeAlias = tuple[tuple[Function, int], ...]


class Limited(Protocol):
    """A module with constraints."""

    def limits(self) -> list[tuple[Function, Parameter]]: ...


class Follower(Protocol):
    """An optimizer."""

    def follow_limits(self) -> None: ...


_limited: WeakValueDictionary[int, Limited] = WeakValueDictionary()
_followers: WeakSet[Follower] = WeakSet()


def tell(owner: Limited) -> None:
    """A module got a constraint or lost one, or got another parameter."""
    if owner.limits():
        _limited[id(owner)] = owner
    elif _limited.pop(id(owner), None) is None:
        return
    for optimizer in list(_followers):
        optimizer.follow_limits()


def follow(optimizer: Follower) -> None:
    """Tell an optimizer of all changes from now on."""
    _followers.add(optimizer)


def limits_of(params: Sequence[Tensor]) -> Limits:
    """The constraints of parameters, each pair once though several modules share both."""
    numbers = {id(p): i for i, p in enumerate(params)}
    found: dict[tuple[int, int], tuple[Function, int]] = {}
    for owner in list(_limited.values()):
        for constraint, weight in owner.limits():
            if (number := numbers.get(id(weight))) is not None:
                found.setdefault((id(constraint), number), (constraint, number))
    return tuple(found.values())


def apply(limits: Iterable[tuple[Function, Tensor]]) -> None:
    """Write what constraints make of the weights that are trained into them."""
    with no_grad():
        for constraint, weight in limits:
            if weight.requires_grad:
                weight.assign(constraint(weight))
