"""`Tensor.size`, which in PyTorch is a method."""

from typing import NoReturn


class Size(int):
    """A number of elements, as NumPy's `size`; called as PyTorch's `x.size(0)` it says what to write.

    Raises:
        TypeError: When it is called.
    """

    __slots__ = ()

    def __call__(self, *dims: object, **named: object) -> NoReturn:
        wanted = ", ".join(map(repr, (*dims, *named.values())))
        here = f"x.shape[{wanted}]" if wanted else "x.shape"
        raise TypeError(
            f"x.size({wanted}): size is a number here, that of all elements, {int(self)}; "
            f"tapegrad's name for PyTorch's x.size({wanted}) is {here}"
        )
