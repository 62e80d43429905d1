"""`Copies`: how a Module is copied."""

from copy import deepcopy
from typing import TypeVar

from tapegrad.autograd.limits import tell
from tapegrad.autograd.primitive import Primitive

M = TypeVar("M", bound="Copies")


class Copies:
    """The part of a Module that has to do with copies."""

    def __deepcopy__(self: M, memo: dict[int, object]) -> M:
        """A copy with parameters and buffers of its own; what is shared inside stays shared inside."""
        twin = memo[id(self)] = type(self).__new__(type(self))
        for name, value in vars(self).items():
            vars(twin)[name] = value if isinstance(value, Primitive) else deepcopy(value, memo)
        tell(twin)  # type: ignore[arg-type]
        return twin

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError(
            "modules are not pickled (a pickle can run code when it is read), nor copied by copy.copy, which would "
            "share weights: save with tg.save(path, module.state_dict()), and copy with copy.deepcopy(module)"
        )
