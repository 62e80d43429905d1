"""Code of a user's own that may be named in a model's file: `@register` on a class or function."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from tapegrad import nn, optim
from tapegrad.nn import losses

T = TypeVar("T")

LAYERS: dict[str, type[nn.Module]] = {
    name: kind
    for name, kind in vars(nn).items()
    if isinstance(kind, type) and issubclass(kind, nn.Module) and kind is not nn.Module
}
LOSSES: dict[str, type] = {kind.__name__: kind for kind in losses.Loss.__subclasses__()}
REGISTERED: dict[str, object] = {}  # what users registered, by name


def register(item: T | None = None, *, name: str | None = None) -> Any:
    """Register a class or a function, so that `Sequential.save` and `load` accept it; returns the item.

        @tapegrad.models.register
        def pinball(y_true, y_pred): …

    A layer, loss, metric or optimizer class is made again from what its `config()` returns (a Module has one). The
    program that loads the file registers the same name.

    Args:
        item: A class or a function; left out, as in `@register(name="mine")`, a decorator is returned.
        name: Its name in the file; None is its own.

    Raises:
        ValueError: The name is taken, or there is none.
        TypeError: The item is no class and no function.
    """
    if item is None:
        return lambda one: register(one, name=name)
    if not callable(item):
        raise TypeError(f"register: expected a class or a function, got {item!r}")
    name = name or getattr(item, "__name__", "")
    if not name or name == "<lambda>":
        raise ValueError(f'register: {item!r} has no name: give one, as in register(item, name="mine")')
    known = REGISTERED.get(name)
    taken = name in LAYERS or name in LOSSES or name.lower() in optim.BY_NAME
    if taken or (known is not None and known is not item and place(known) != place(item)):
        raise ValueError(
            f"register: the name {name!r} is taken: give another one, as in register(item, name=…)"
        )
    REGISTERED[name] = item
    return item


def place(item: object) -> tuple[object, ...]:
    """Where an item was written: the same cell of a notebook may run twice."""
    return getattr(item, "__module__", None), getattr(item, "__qualname__", None)


def registered_name(item: object) -> str | None:
    """The name that an item is registered under, or None."""
    return next((name for name, known in REGISTERED.items() if known is item), None)


def find(what: str, name: str, table: Mapping[str, Any], error: Callable[[str], Exception]) -> Any:
    """What a file's name stands for: in a table of tapegrad's, or registered."""
    if name in table:
        return table[name]
    if name in REGISTERED:
        return REGISTERED[name]
    known = ", ".join(sorted({*table, *REGISTERED}))
    raise error(
        f"unknown {what} {name!r}; known: {known}. Code of your own is registered before the file is loaded: "
        "@tapegrad.models.register"
    )
