"""How elementwise operations are written in CUDA C++: the column `cuda` of their rows.

A form is a template of str.format: {0}, {1}… are the operands, of one dtype; {zero}, {one} numbers of that dtype;
{dtype} its name; {low}, {high} the parameters min and max, or what bounds nothing.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cuda:
    """C for one element, by the dtype of the operands; where a kind has no form, that of the kind before it counts.

    moves      the operands are converted to the dtype of the result, and nothing is computed
    helpers    functions that the form calls, for floating-point numbers and for integers, with T for the type and NAME
               for the name of the dtype
    """

    floating: str
    integer: str = ""
    unsigned: str = ""
    boolean: str = ""
    moves: bool = False
    helpers: tuple[str, str] = ("", "")

    def form(self, kind: str) -> str:
        """The template for a kind of dtype, as NumPy's letters name them."""
        integer = self.integer or self.floating
        unsigned = self.unsigned or integer
        return {"f": self.floating, "i": integer, "u": unsigned}.get(kind, self.boolean or unsigned)

    def helper(self, kind: str) -> str:
        return self.helpers[kind != "f"]


# C's own / and % round to zero; Python's round to minus infinity.
REMAINDER = Cuda(
    "remainder_{dtype}({0}, {1})",
    helpers=(
        """
__device__ T remainder_NAME(T a, T b) {  // of the sign of b
    const T r = fmod(a, b);
    return r == 0 ? copysign((T)0, b) : (r < 0) != (b < 0) ? r + b : r;
}
""",
        """
__device__ T remainder_NAME(T a, T b) {  // of the sign of b; 0 for b = 0
    const T r = b == 0 || ((T)-1 < 0 && b == (T)-1) ? 0 : a % b;
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
""",
    ),
)
DIVISION = Cuda(
    "floor_divide_{dtype}({0}, {1})",
    helpers=(
        """
__device__ T floor_divide_NAME(T a, T b) {
    const T r = fmod(a, b);
    const T q = (a - r) / b - (r != 0 && (r < 0) != (b < 0) ? 1 : 0);
    const T f = floor(q);
    return b == 0 ? a / b : q == 0 ? copysign((T)0, a / b) : q - f > (T)0.5 ? f + 1 : f;
}
""",
        """
__device__ T floor_divide_NAME(T a, T b) {  // towards minus infinity; 0 for b = 0
    if (b == 0) return 0;
    if ((T)-1 < 0 && b == (T)-1) return (T)(0 - (unsigned long long)a);
    const T q = a / b;
    return a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}
""",
    ),
)
POWER = Cuda(
    "pow({0}, {1})",
    integer="power_{dtype}({0}, {1})",
    helpers=(
        "",
        """
__device__ T power_NAME(T a, T b) {
    if (b < 0) return a == 1 ? 1 : a == (T)-1 ? (b % 2 ? -1 : 1) : 0;
    T y = 1;
    for (T x = a; b > 0; b /= 2, x *= x) y *= b % 2 ? x : (T)1;
    return y;
}
""",
    ),
)
SIGN = Cuda(
    "{0} > 0 ? {one} : {0} < 0 ? -{one} : {0} == 0 ? {zero} : {0}",
    integer="{0} > 0 ? {one} : {0} < 0 ? -{one} : {zero}",
)
# A NaN stays.
LARGER = Cuda("{0} >= {1} || {0} != {0} ? {0} : {1}", integer="{0} >= {1} ? {0} : {1}", boolean="{0} || {1}")
SMALLER = Cuda("{0} <= {1} || {0} != {0} ? {0} : {1}", integer="{0} <= {1} ? {0} : {1}", boolean="{0} && {1}")
CLIP = Cuda("{0} > {high} ? {high} : {0} < {low} ? {low} : {0}")
MOVE = Cuda("{0}", moves=True)
CHOICE = Cuda("{0} ? {1} : {2}", moves=True)
