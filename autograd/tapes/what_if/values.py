"""The new values that `Tape.what_if` is given: which leaf each is for, and whether it can hold it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tapegrad.autograd.creation import new
from tapegrad.autograd.diagnostics import describe
from tapegrad.autograd.dtypes import name_of
from tapegrad.autograd.tapes.what_if.refusal import INSTEAD
from tapegrad.autograd.tensor import Tensor

if TYPE_CHECKING:
    from tapegrad.autograd.tapes.tape import Tape


def news_of(tape: "Tape", changes: Mapping[Any, Any]) -> dict[Tensor, Tensor]:
    """The leaves that are to change, with tensors of their new values."""
    if not isinstance(changes, Mapping):
        raise TypeError(
            f"what_if: changes: expected a dict {{leaf or its name: value}}, got {type(changes).__name__}"
        )
    news: dict[Tensor, Tensor] = {}
    for given, value in changes.items():
        if isinstance(given, Tensor):  # it may be behind a leaf
            found = [given] if given.node is None else []
        else:  # so may what was given a name; a leaf has it, too, that is a copy in another dtype
            named = [t for t, name in tape.names.items() if t.node is None and name == given]
            found = named or [t for t, name in tape.leaves.items() if name == given]
        if len(found) != 1:
            raise no_leaf(tape, given, len(found))
        name = tape.leaves.get(found[0]) or tape.names.get(found[0], "a tensor")
        if found[0] in news:
            raise ValueError(
                f"what_if: changes: {name} is there twice, as a name and as a tensor: give it once"
            )
        news[found[0]] = new(new_value(name, found[0], value)).requires_grad_(found[0].requires_grad)
    return news


def no_leaf(tape: "Tape", given: object, count: int = 0) -> ValueError:
    what = repr(given) if isinstance(given, str) else f"a {type(given).__name__}"
    what = describe(given) if isinstance(given, Tensor) else what
    return ValueError(
        f"what_if: {what} is {f'the name of {count} leaves' if count else 'no leaf'} of this tape, which has "
        + ", ".join(tape.leaves.values())
    )


def new_value(name: str, leaf: Tensor, value: Any) -> Any:
    """A leaf's new value as a raw array of its own, of the leaf's shape, dtype and device."""
    backend = leaf.backend
    if isinstance(value, Tensor) or hasattr(value, "dtype"):
        array = value.data if isinstance(value, Tensor) else value
        if name_of(array.dtype) != name_of(leaf.dtype):
            raise TypeError(
                f"what_if: {name} is {name_of(leaf.dtype)}, its new value {name_of(array.dtype)}: write "
                f".astype({name_of(leaf.dtype)!r})"
            )
    else:
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise ValueError(
                f"what_if: the new value of {name} has lists of several lengths: {error}"
            ) from error
        kinds = {"b": "b", "i": "bi", "u": "bi"}.get(np.dtype(name_of(leaf.dtype)).kind, "biuf")
        if array.dtype.kind not in kinds:
            raise TypeError(f"what_if: {name} is {name_of(leaf.dtype)}, its new value holds {array.dtype}")
        with np.errstate(over="ignore"):
            cast = array.astype(name_of(leaf.dtype))
        if not np.array_equal(np.isfinite(cast), np.isfinite(array)) or (
            cast.dtype.kind in "iu" and (cast != array).any()
        ):
            raise ValueError(
                f"what_if: {name} is {name_of(leaf.dtype)}, which does not hold numbers as large as its new value"
            )
        array = cast
    if array.shape != leaf.shape:
        raise ValueError(
            f"what_if: {name} has shape {leaf.shape}, its new value {tuple(array.shape)}: the recorded calls hold for "
            f"that shape. For another, {INSTEAD}"
        )
    return backend.asarray(array, dtype=leaf.dtype, device=leaf.device, copy=True)
