"""What a Module asks of a class that a user writes: its constructor's arguments, and its `build`."""

import inspect
from functools import wraps
from typing import TYPE_CHECKING

from tapegrad.autograd.signatures import signature as signature_of

if TYPE_CHECKING:
    from tapegrad.autograd.aliases import Shape
    from tapegrad.backends.aliases import Function
    from tapegrad.nn.module import Module


def built_after(build: "Function") -> "Function":
    """A user's build, after which the module counts as built."""

    @wraps(build)
    def call(self: "Module", shape: "Shape") -> "Function":
        self.built = True  # before, for a build that ends in super().build(shape)
        try:
            built = build(self, shape)
            self.keep_frozen()
            return built
        except BaseException:
            self.built = False
            raise

    return call


def constructor_options(kind: type) -> dict[str, inspect.Parameter]:
    """The constructor's named arguments."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {p.name: p for p in signature_of(kind).parameters.values() if p.kind in named}
