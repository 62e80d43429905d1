"""The arguments that a function names."""

import inspect
import sys
from collections.abc import Callable


def signature(function: Callable[..., object]) -> inspect.Signature:
    """`inspect.signature`, whatever the annotations say.

    From Python 3.14 on they are evaluated when they are asked for, and may name what only type checkers import.
    """
    if sys.version_info >= (3, 14):
        from annotationlib import Format

        return inspect.signature(function, annotation_format=Format.FORWARDREF)
    return inspect.signature(function)
