"""The elementwise functions of native code: arithmetic without branches, which runs on vectors.

Each is a Python function of values that know Python's operators and the helpers of forms.py: NumPy's scalars and
arrays, which it computes with as it stands, or nodes, of which machine code is made. Either way each operation is
rounded, in the order in which it is written, so that both give the same bits; sums and products must not be
contracted.

A flag is raised (overflow, invalid operation) only where NumPy's function raises one: where the result overflows,
or is not defined. Python's own numbers take the dtype of the value beside them; one side of a choice is always a
value.

`python -m benchmarks functions` measures the errors. Limits: 1 ulp in float32, 2 ulp in float64.
"""

from tapegrad.backends.aliases import Function
from tapegrad.compiler.emit.native.functions_division import product_power as product_power
from tapegrad.compiler.emit.native.functions_exp import cosh, erf, exp, expm1, sinh, tanh
from tapegrad.compiler.emit.native.functions_log import (
    acosh,
    asinh,
    atanh,
    log,
    log1p,
    log2,
    log10,
    power,
)
from tapegrad.compiler.emit.native.functions_trig import (
    acos,
    asin,
    atan,
    atan2,
    cos,
    hypot,
    sin,
    tan,
)

FUNCTIONS: dict[str, Function] = {
    function.__name__: function
    for function in (
        *(exp, expm1, tanh, sinh, cosh, erf),
        *(log, log1p, log2, log10, asinh, acosh, atanh, power),
        *(sin, cos, tan, asin, acos, atan, atan2, hypot),
    )
}
