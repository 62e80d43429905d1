"""Tensors, the primitives with their gradient rules, the backward loop, and the transforms over it."""

from tapegrad.autograd import backward, operators

operators.install()
