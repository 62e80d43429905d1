"""What a recorded program depends on of the arguments: equal keys, one program."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from tapegrad.autograd.structure import is_module
from tapegrad.autograd.tensor import Tensor


class Same:
    """Any other object in a key: equal to itself alone, and kept, so that no later object gets its id."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.value is other.value


class Key:
    """Takes arguments down one by one.

    parts     what the key is made of
    tensors   the tensors among the arguments, in order
    closed    ids of the tensors that the function reaches without arguments: one of them as an argument is a case of
              its own, and so is one array in two places
    """

    def __init__(self, parts: list[Any], closed: frozenset[int]) -> None:
        self.parts, self.closed = parts, closed
        self.tensors: list[Tensor] = []
        self.first: dict[int, int] = {}  # id of an array -> the number of the first tensor with it

    def add(self, value: Any) -> None:
        parts = self.parts
        if isinstance(value, Tensor):
            data = value.data
            own = (
                id(value) if id(value) in self.closed else self.first.setdefault(id(data), len(self.tensors))
            )
            parts.append(
                (data.shape, data.dtype, type(data), value.requires_grad, own, getattr(data, "strides", None))
            )
            self.tensors.append(value)
        elif isinstance(value, (tuple, list)):
            parts.append((type(value), len(value)))
            for part in value:
                self.add(part)
        elif isinstance(value, dict):
            parts.append((type(value), tuple(value)))
            for part in value.values():
                self.add(part)
        elif isinstance(value, (float, np.generic)):
            parts.append((type(value), repr(value)))  # 0.0 is not -0.0, and nan is nan
        elif isinstance(value, (int, str, bytes, type(None))):
            parts.append((type(value), value))
        elif isinstance(value, slice):
            parts.append(slice)
            self.add((value.start, value.stop, value.step))
        elif isinstance(value, np.ndarray) or hasattr(value, "__cuda_array_interface__"):
            raise TypeError("tg.jit: an argument is a bare array: make it a tensor, as with tg.tensor(array)")
        else:
            parts.append(Same(value))
            if is_module(value):
                parts += [m.training for _, m in value.named_modules()]


def news(key: tuple[Any, ...], known: Iterable[tuple[Any, ...]]) -> str:
    """What is new about a key, beside the known one that is most like it."""
    alike = [k for k in known if len(k) == len(key)]
    if not alike:
        return "a new kind of input: another structure"
    nearest = min(alike, key=lambda k: sum(a != b for a, b in zip(key, k)))
    i, new, old = next((i, a, b) for i, (a, b) in enumerate(zip(key, nearest)) if a != b)
    what = "another structure"
    if i == 0:
        what = f"gradients are {'on' if new else 'off'}"
    elif isinstance(new, bool):
        what = f"a module is {'in training' if new else 'in evaluation'}"
    elif isinstance(new, Same):
        what = f"another {type(new.value).__name__}"
    elif isinstance(new, tuple) and isinstance(old, tuple) and len(new) == len(old) == 6:
        parts = ("of shape {} instead of {}", "of dtype {} instead of {}", "in an {} instead of an {}",
                 "with requires_grad {} instead of {}", "that is in another place as well, or no more",
                 "with steps of {} instead of {} bytes in memory")  # fmt: skip
        part, a, b = next((p, a, b) for p, a, b in zip(parts, new, old) if a != b)
        what = f"a tensor {part.format(a, b)}"
    elif isinstance(new, tuple) and isinstance(old, tuple) and len(new) == len(old) == 2:
        what = " instead of ".join(f"{kind.__name__} {value}" for kind, value in (new, old))
    return f"a new kind of input: {what}"
