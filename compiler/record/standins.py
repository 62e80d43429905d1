"""The tensors among the arguments of a call: what a program depends on of them, and what stands for them while it is
recorded."""

from typing import Any

from tapegrad.autograd.tensor import Tensor


def kinds_of(args: tuple[Any, ...], closed: frozenset[int]) -> list[tuple[Any, ...] | None] | None:
    """Of each argument the shape, dtype, type of array, whether it requires grad and the strides, or None for None;
    None instead of all for what `Variant.arrays_of` does not look at: things other than tensors, a tensor that the
    function closes over, and an array in two places."""
    tensors = [a for a in args if a is not None]
    if any(type(t) is not Tensor or id(t) in closed for t in tensors):
        return None
    if len({id(t.data) for t in tensors}) < len(tensors) or any(
        not hasattr(t.data, "strides") for t in tensors
    ):
        return None
    return [
        None if a is None else (a.data.shape, a.data.dtype, type(a.data), a.requires_grad, a.data.strides)
        for a in args
    ]


class StandIns:
    """Tensors with the same contents in place of a call's own, while the function is recorded: what it reaches in a way
    that is not known (through another function, say) is captured then, though the same tensor is an argument as well.

    Arguments that require grad or that the function is known to close over, and those inside lists and dicts, stay.
    """

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any], closed: frozenset[int]) -> None:
        plain = [a for a in (*args, *kwargs.values()) if type(a) is Tensor and not a.requires_grad]
        self.pairs = [(t, Tensor(t.data[...])) for t in plain if id(t) not in closed]
        self.arrays = [own.data for _, own in self.pairs]
        self.own = {id(t): own for t, own in self.pairs}
        self.args = tuple(self.own.get(id(a), a) for a in args)
        self.kwargs = {name: self.own.get(id(a), a) for name, a in kwargs.items()}

    def hand_back(self) -> None:
        """Do to the call's own tensors what was done to these."""
        for (t, own), array in zip(self.pairs, self.arrays):
            if own.data is not array:
                t.data = own.data
            for name in ("changed", "grad", "index", "node", "requires_grad", "retains_grad"):
                if (value := getattr(own, name)) is not getattr(FRESH, name):
                    setattr(t, name, value)

    def original(self, value: Any) -> Any:
        return next((t for t, own in self.pairs if own is value), value)


FRESH = Tensor(None)
