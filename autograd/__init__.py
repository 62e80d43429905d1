"""Tensors, the primitives with their gradient rules, the backward loop, and the transforms over it."""

from tapegrad.autograd import backward, operators

operators.install()


def __getattr__(name: str) -> object:
    from tapegrad.autograd.foreign import no_attribute, table

    # An import of a file in this folder asks first, too.
    if name in table("autograd"):
        raise no_attribute("module 'tapegrad.autograd'", "autograd", name, ())
    raise AttributeError(f"module 'tapegrad.autograd' has no attribute {name!r}")
