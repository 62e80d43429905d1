"""Matrices with all singular values near 1, by products alone."""

from tapegrad.autograd.aliases import Value
from tapegrad.autograd.dtypes import float32, name_of
from tapegrad.autograd.ops import matmul, permute_p, reshape_p
from tapegrad.optim.norms import cast, norm_of

# Of the polynomial a x + b x**3 + c x**5, which brings singular values from 0 to 1 near 1: K. Jordan's.
A, B, C = 3.4445, -4.7750, 2.0315


def orthogonalized(u: Value, steps: int) -> Value:
    """The matrix u with its singular values brought near 1 by a polynomial that is applied `steps` times, in u's dtype;
    float16 is worked out in float32."""
    x = cast(u, float32) if name_of(u.dtype) == "float16" else u
    tall = x.shape[0] > x.shape[1]
    x = permute_p(x, axes=(1, 0)) if tall else x
    x = x / cast(norm_of([reshape_p(x, shape=(x.shape[0] * x.shape[1],))]) + 1e-7, x.dtype)
    for _ in range(steps):
        square = matmul(x, permute_p(x, axes=(1, 0)))
        x = A * x + matmul(B * square + C * matmul(square, square), x)
    return cast(permute_p(x, axes=(1, 0)) if tall else x, u.dtype)
