"""tapegrad: tensors with reverse-mode autodiff on NumPy and CuPy, layers, optimizers and models.

The functions of the Python array API standard under its names, `tensor`, `grad` and its relatives, and the rooms
`nn`, `optim` and `models`.
"""

import builtins
from typing import TYPE_CHECKING

from tapegrad import autograd as autograd
from tapegrad import random as random
from tapegrad import tree as tree
from tapegrad.autograd import ops
from tapegrad.autograd.creation import asarray, from_dlpack, tensor
from tapegrad.autograd.distributions import rand, randint, randn, randperm
from tapegrad.autograd.dtypes import (
    bool,
    finfo,
    float16,
    float32,
    float64,
    get_default_dtype,
    iinfo,
    int8,
    int16,
    int32,
    int64,
    isdtype,
    set_default_dtype,
    uint8,
    uint16,
    uint32,
    uint64,
)  # fmt: skip
from tapegrad.autograd.files import FileError, load, read_metadata, save
from tapegrad.autograd.filled import (
    arange,
    empty,
    empty_like,
    eye,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    zeros,
    zeros_like,
)  # fmt: skip
from tapegrad.autograd.flags import detect_anomaly, enable_grad, no_grad
from tapegrad.autograd.foreign import getattr_of
from tapegrad.autograd.random import manual_seed, uniform
from tapegrad.autograd.tensor import Parameter, Tensor
from tapegrad.autograd.transforms.checkpoint import checkpoint
from tapegrad.autograd.transforms.custom import custom_gradient
from tapegrad.autograd.transforms.derivatives import grad, jvp, value_and_grad, vjp
from tapegrad.backends import BackendError, get_backend, set_backend, use_backend

if TYPE_CHECKING:
    from tapegrad import nn as nn
    from tapegrad import optim as optim
    from tapegrad.autograd.tapes.sites import keep_lines
    from tapegrad.autograd.tapes.tape import tape
    from tapegrad.autograd.transforms.check import check_grads
    from tapegrad.autograd.transforms.jacobians import hessian, hvp, jacobian
    from tapegrad.autograd.transforms.scan import scan
    from tapegrad.compiler import JitWarning, TraceError, jit

__version__ = "0.1.0"

# The functions of arrays. The stub beside this file, `__init__.pyi`, has them for type checkers and editors.
globals().update({name: getattr(ops, name) for name in ops.PUBLIC})

_PUBLIC = [
    "autograd", "nn", "optim", "random", "tree",
    *ops.PUBLIC,
    "arange", "asarray", "empty", "empty_like", "eye", "from_dlpack", "full", "full_like", "linspace", "ones",
    "ones_like", "tensor", "zeros", "zeros_like", "rand", "randint", "randn", "randperm", "uniform", "manual_seed",
    "Tensor", "Parameter",
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64",
    "finfo", "iinfo", "isdtype", "get_default_dtype", "set_default_dtype",
    "grad", "value_and_grad", "vjp", "jvp", "jacobian", "hessian", "hvp", "custom_gradient", "checkpoint",
    "scan", "check_grads", "tape", "keep_lines", "no_grad", "enable_grad", "detect_anomaly",
    "jit", "JitWarning", "TraceError",
    "get_backend", "set_backend", "use_backend", "BackendError", "load", "save", "read_metadata", "FileError",
]  # fmt: skip
# `from tapegrad import *` leaves Python's own abs, all, any, bool, max, min, round and sum as they are.
__all__ = [name for name in _PUBLIC if name not in vars(builtins)]


def __dir__() -> list[str]:
    return sorted([*_PUBLIC, "data", "models", "__version__"])


if not TYPE_CHECKING:
    # Rooms and names that are loaded when they are first asked for: importing tapegrad takes a third of its own time
    # without them.
    _LATER = {
        **dict.fromkeys(("compiler", "data", "models", "nn", "optim"), ""),
        **dict.fromkeys(("jit", "JitWarning", "TraceError"), "compiler"),
        **dict.fromkeys(("hessian", "hvp", "jacobian"), "autograd.transforms.jacobians"),
        "check_grads": "autograd.transforms.check", "scan": "autograd.transforms.scan",
        "keep_lines": "autograd.tapes.sites", "tape": "autograd.tapes.tape",
    }  # fmt: skip
    __getattr__ = getattr_of(__name__, "tg", later=_LATER)
