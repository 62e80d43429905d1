"""Write docs/conventions.md: what functions and gradients are where mathematics leaves a choice. Its table is computed
by what it describes. Run: python docs/make_conventions.py"""

from pathlib import Path

import numpy as np

import tapegrad as tg

ROOT = Path(__file__).resolve().parent.parent
TEXT = """# Conventions

This page says what functions and their gradients are where mathematics leaves a choice.
`python docs/make_conventions.py` computes the table; a test keeps it up to date.

## Slopes

- **A cotangent of 0 stays 0.** A value that `tg.where`, an index or a mask did not take has the gradient 0, even if the
  slope there is infinite or NaN. So `tg.where(x > 0, tg.log(x), 0.0)` needs no second `where`, and a row of scores that
  are all -inf may go through `softmax` if nothing takes that row of the result. PyTorch and JAX give NaN. The rule
  holds to any order, eagerly and compiled, for every function except products of matrices.
- **Products of matrices are the exception.** In `x @ w`, the gradient of w adds up products with all rows of x, and
  the BLAS computes 0 times NaN as NaN. A row of x with a NaN or an infinity makes the gradient of w NaN, even if
  nothing takes that row of the result. The gradient of that row of x is 0. The same holds for `linear`, `einsum`,
  `tensordot`, convolutions, and the layers made of them. Keeping 0 there would take a look at every operand of every
  product. Replace such values before the product: `tg.where(tg.isfinite(x), x, 0.0) @ w`.
- **The price of that rule.** A 0 from arithmetic counts as well. In float32, `tg.log(1 + tg.exp(x))` at 89 has the
  gradient 0: `exp` overflows, and 0 times infinity counts as 0. A RuntimeWarning then names the function that
  overflowed; `np.errstate(over="ignore")` silences it. The backward pass on NumPy warns while a function runs eagerly
  or is recorded. Compiled, the numbers are the same. Machine code has its call taken back and run as Python, which
  warns as before; NumPy's program warns of the overflow, at the line of its source, and not of the gradient; CuPy's
  does not warn. Write `tg.softplus(x)`, or use `tg.detect_anomaly()`, which raises at the call.
- **At a kink, the middle or 0.** `abs` and `relu` have slope 0 at 0. Equal arguments of `maximum` and `minimum`, and
  equal extremes of `max` and `min`, share the gradient equally. `clip` passes the gradient at its bounds.
- **At a pole, infinity.** `1 / x`, `x ** -1`, `x ** -0.5` and `1 / sqrt(x)` all have slope -inf at 0, as in PyTorch.
- **Roots are flat at 0.** `sqrt`, and `x ** p` for 0 < p < 1, have slope 0 at 0. So a norm and a standard deviation of
  zeros have the gradient 0. PyTorch has infinity. `hypot` and `atan2` have slope 0 at the origin.
- **At NaN, functions that choose share the gradient.** `max`, `min`, `maximum`, `minimum`, `relu`, `clip` and their
  like withhold the gradient from an element only if another one is larger (smaller). Comparisons with NaN are false, so
  elements that cannot be compared share the gradient, and its total stays the same. A formula (`abs`, `exp`, `std`,
  ...) has slope NaN.

## Values

- `clip(x, min, max)` is `min(max(x, min), max)`: with min above max, max.
- `var` and `std` of no more elements than `correction` are NaN, with a RuntimeWarning, as in NumPy. They divide by n
  unless `correction=1` is given, as in NumPy and the array API standard; PyTorch divides by n - 1.
- `var`, `std` and cosine similarity are exact to rounding wherever their result is an ordinary number: they scale
  squares that would overflow.
- The mean is the sum divided by n, as in NumPy, PyTorch and JAX. In float32 and float64 the sum may overflow where the
  mean would not. Sums of float16 are computed in float32.
- A Python number, alone or in a list, that a dtype of integers does not hold raises: a fraction, NaN, one beyond its
  limits. This holds for `tensor`, `asarray`, `full`, `arange`, `where`, `t[i] = v`, `index_update` and arithmetic.
  Tensors and arrays of integers are cast as by NumPy's astype, which wraps around; floats are not written into
  integers. A boolean is whether a number is not 0. Results of integer arithmetic wrap around, as in NumPy and PyTorch.
- `floor_divide` gives NumPy's results for infinities (`inf // 2` is NaN, `1 // -inf` is -1), as do PyTorch and JAX. The
  array API standard says inf and -0.
- `max`, `min`, `argmax` and `logsumexp` of no elements raise ValueError.

## Copies, graphs and numbers

- **Views.** As in NumPy, these share their argument's memory where they can: `reshape`, `flatten`, `permute_dims`,
  `matrix_transpose`, `t.T`, `t.mT`, `moveaxis`, `expand_dims`, `squeeze`, `flip`, `split`, `unstack`, `broadcast_to`,
  `getitem` (indexing by integers, slices, None and ...), `t.detach`. A write into the one changes the other. Layers
  that only reshape, permute or crop give views as well.
- **`t += v` while a gradient is recorded** gives t the result, in memory of its own and in t's dtype, under all names
  of t. A view taken before would keep the old values, so the line raises where there is one, v itself included, and
  says to write `t = t + v`. Whether there is one is read from the reference count of the array, as for `t[i] = v`. A
  call that was given t, and whose result the program still holds, counts as a view.
- **An optimizer moves its parameters** into a buffer of its own when it is made. What shared their memory before keeps
  the old values: a view, `p.detach()`, the array behind `tg.asarray(array)`. Take views after that, or copies.
- **Writes that a graph is not told of:** those of NumPy, `t.data[0] = v` and `array[0] = v`, and of another library
  behind `tg.from_dlpack`. Between forward and backward they make the gradient wrong. `t.data += v` is told.
- **The argument itself.** These may return it, if there is nothing to do: `asarray`, `from_dlpack`, `t.to`,
  `t.to_device`, `dropout`; so do astype with copy=False, an Identity layer, and layers of dropout and noise outside
  training.
- All other results have memory of their own. So have gradients, from `backward` and from every transform. The value
  that a transform returns is what the function gave: a view of an argument, if that is what it returned.
- Some elements of what `broadcast_to` gives share one place: every write into it raises. Write into `tg.tensor(t)`. A
  RepeatVector layer and layers that encode positions give such tensors.
- Differentiable: `tg.tensor(t)`, `tg.asarray(t, copy=True)`, `copy.copy(t)`, `astype`, `to`, indexing, `t[i] = v`.
- Outside any graph: `t.detach()`, `t.numpy()`, `t.tolist()`, `t.item()`, `float(t)`, `t.data`, `t.assign(v)`.
- Refused where a gradient would be lost: `np.asarray(t)`, `tg.Parameter(t)`, `copy.deepcopy(t)`. Pickling a Tensor is
  always refused: use `tg.save`.
- A transform returns detached results, the second one of `has_aux` included, unless an outer transform is running or
  something else that requires grad went into them.

## The table

"""

# an expression of x, and the points
ROWS: tuple[tuple[str, tuple[float, ...]], ...] = (
    ("tg.abs(x)", (0.0, np.nan)),
    ("tg.relu(x)", (0.0, np.nan)),
    ("tg.maximum(x, 1.0)", (1.0, np.nan)),
    ("tg.clip(x, -1, 1)", (1.0, np.nan)),
    ("tg.clip(x, 3, 0)", (1.0,)),
    ("tg.sqrt(x)", (0.0, np.inf)),
    ("x ** 0.5", (0.0,)),
    ("1 / x", (0.0, np.inf)),
    ("x ** -1", (0.0,)),
    ("1 / tg.sqrt(x)", (0.0,)),
    ("x ** -0.5", (0.0,)),
    ("x ** 0", (0.0, np.nan)),
    ("tg.log(x)", (0.0, np.inf)),
    ("tg.where(x > 0, tg.log(x), 0.0)", (0.0,)),
    ("tg.log(1 + tg.exp(x))", (1000.0,)),
    ("tg.softplus(x)", (1000.0,)),
    ("tg.hypot(x, 0.0)", (0.0,)),
    ("x // 2.0", (np.inf,)),
)


def page() -> str:
    lines = ["| f(x), float64 | x | f(x) | f'(x) |", "|---|---|---|---|"]
    with np.errstate(all="ignore"):
        for text, points in ROWS:
            f = eval(f"lambda x: {text}", {"tg": tg})
            for point in points:
                x = tg.tensor(np.array(point), requires_grad=True)
                y = f(x)
                if y.requires_grad:
                    y.backward()
                slope = "none" if x.grad is None else f"{x.grad.item():.4g}"
                lines.append(f"| `{text}` | {point:g} | {y.item():.4g} | {slope} |")
    return TEXT + "\n".join(lines) + "\n"


if __name__ == "__main__":
    (ROOT / "docs" / "conventions.md").write_text(page())
