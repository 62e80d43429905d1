"""What the tables say stands for a name of NumPy, PyTorch or JAX computes what that name does there, on numbers with
NaN, infinity, -0 and negative ones; or the remark says in words what differs."""

import ast
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.autograd import foreign

pytestmark = pytest.mark.filterwarnings("ignore")
R = np.random.default_rng(0)
SPECIAL = np.array([[0.0, -0.0, 1.0], [-1.5, np.inf, -np.inf], [np.nan, 2.5, -3.5]])
KINDS: dict[str, Any] = {
    "matrix": R.normal(size=(3, 3)),
    "special": SPECIAL,
    "vector": R.normal(size=4),
    "special vector": SPECIAL.ravel(),
    "integers": R.integers(-3, 4, (3, 3)),
    "rank 3": R.normal(size=(2, 3, 4)),
}
LIBRARIES = {"np": "numpy", "torch": "torch", "F": "torch.nn.functional", "jnp": "jax.numpy", "jax": "jax"}
# The parts of the tables of which each row is compared; of the other parts, the rows with a name in CALLS.
WHOLE = {
    "tg": ("arithmetic", "functions", "reductions", "comparison and logic", "products"),
    "tensor": ("arithmetic", "reductions", "comparison, products"),
    "functional": ("activations",),
    "nn": (),
    "random": (),
}
CUBE = R.normal(size=(3, 3, 3))
CUBES = {name: "cube" for name in ("x", "a", "b", "other", "bias")}
# How a function f of theirs is called where it is not f(x), f(a, b) or t.f(other), and what is a number in both. Of a
# name, or of all names with this last part.
CALLS: dict[str, str | tuple[str, dict[str, Any]]] = {
    # ---- with options ----
    **dict.fromkeys(("clamp", "clip_by_value", "clamp_", "clip_"), ("f(x, low, high)", {"low": -0.5, "high": 0.5})),
    "jax.lax.clamp": ("f(low, x, high)", {"low": -0.5, "high": 0.5}),
    **dict.fromkeys(("clamp_min", "clamp_min_"), ("f(x, low)", {"low": -0.5})),
    "clamp_max": ("f(x, high)", {"high": 0.5}),
    **dict.fromkeys(("left_shift", "right_shift", "bitwise_left_shift", "bitwise_right_shift"), ("f(x, n)", {"n": 2})),
    "np.ldexp": ("f(x, n)", {"n": 2}), "jnp.ldexp": ("f(x, n)", {"n": 2}), "torch.ldexp": ("f(x, of(n))", {"n": 2}),
    **dict.fromkeys(("addcmul", "addcdiv", "addcmul_", "addcdiv_"), ("f(x, a, b, value=value)", {"value": 2})),
    **dict.fromkeys(("lerp", "lerp_"), ("f(x, b, weight)", {"weight": 0.25})),
    "torch.mv": ("f(a, b)", {"b": "v"}), "torch.Tensor.mv": ("f(x, other)", {"other": "v"}),
    "torch.bmm": ("f(a, b)", CUBES), "torch.Tensor.bmm": ("f(x, other)", CUBES), "torch.addmm": "f(bias, a, b)",
    **dict.fromkeys(("torch.addbmm", "torch.baddbmm"), ("f(bias, a, b)", {**CUBES, "bias": "b[0]"})),
    "torch.addmv": ("f(bias, a, b)", {"b": "v", "bias": "v"}), "torch.Tensor.addmm": "f(x, a, b)",
    "torch.Tensor.addmv": ("f(x, a, b)", {"x": "v", "b": "v"}), "torch.Tensor.baddbmm": ("f(x, a, b)", CUBES),
    "torch.cross": "f(a, b, dim=-1)", "torch.Tensor.cummax": "f(x, 0)[0]",
    "addr": ("f(bias, a, b)", {"a": "x[0]", "b": "x[1]"}),
    **dict.fromkeys(("cumsum", "cumprod", "logcumsumexp", "cumsum_", "cumprod_"), "f(x, 0)"),
    **dict.fromkeys(("gradient",), "f(x, axis=0)"),
    "torch.gradient": "f(x, dim=0)[0]",
    **dict.fromkeys(("trapezoid", "trapz"), "f(y, x)"),
    "average": "f(x, weights=weights)",
    **dict.fromkeys(("torch.bincount", "np.bincount", "jnp.bincount"), ("f(labels)", {"n": 3})),
    "threshold": ("f(x, threshold, value)", {"threshold": 0, "value": 2}),
    "threshold_": ("f(x, threshold, value)", {"threshold": 0, "value": 2}),
    "prelu": ("f(x, of([weight]))", {"weight": 0.25}),
    "softmin": "f(x, dim=-1)",
    "F.glu": ("f(x)", {"n": 2}), "jax.nn.glu": ("f(x)", {"n": 2}),
    "vander": ("f(x, n)", {"n": 3}),
    "polyval": ("f(of(coefficients), x)", {"coefficients": [1.0, -2.0, 0.5]}),
    "np.correlate": "f(a, v)", "np.convolve": 'f(a, v, "valid")', "jnp.convolve": 'f(a, v, "valid")',
    "where": "f(condition, x, b)", "torch.Tensor.where": "x.where(condition, b)",
    "isin": ("f(x, values)", {"values": "v"}),
    # ---- of other parts of the tables ----
    "torch.range": ("f(start, stop, step)", {"start": 1.0, "stop": 8.0, "step": 2.0}),
    "logspace": ("f(start, stop, num)", {"start": 0.0, "stop": 2.0, "num": 5}),
    "geomspace": ("f(start, stop, num)", {"start": 0.5, "stop": 32.0, "num": 5}),
    "append": "f(a, b)", "block_diag": "f(a, b)",
    **dict.fromkeys(("vstack", "hstack", "dstack", "column_stack"), ("f([a, b])", {"arrays": "[a, b]"})),
    **dict.fromkeys(("hsplit", "vsplit", "dsplit"), ("f(x, sections)", {"sections": [1, 2]})),
    "torch.tensor_split": ("f(x, sections)", {"sections": [1, 2]}),
    "torch.Tensor.tensor_split": ("f(x, sections)", {"sections": [1, 2]}),
    **dict.fromkeys(("atleast_1d", "atleast_2d", "atleast_3d", "ravel", "rot90", "fliplr", "flipud"), "f(x)"),
    **dict.fromkeys(("np.trace", "torch.trace", "jnp.trace", "np.ndarray.trace", "torch.Tensor.trace"), "f(x)"),
    **dict.fromkeys(("diag", "diagonal", "msort", "adjoint", "mH", "unique_consecutive"), "f(x)"),
    "np.rollaxis": ("f(x, axis)", {"axis": 1}),
    **dict.fromkeys(("diag_embed", "diagflat"), ("f(v)", {"n": 3})),
    "torch.gather": "f(x, -1, indices)", "torch.Tensor.gather": "f(x, -1, indices)",
    "index_select": ("f(x, 0, indices)", {"indices": "index"}),
    "masked_select": "f(x, mask)", "np.extract": "f(mask, x)",
    "masked_fill": ("f(x, mask, value)", {"value": 2}), "masked_fill_": ("f(x, mask, value)", {"value": 2}),
    "compress": ("f(mask, x)", {"mask": "mask.reshape(-1)"}),
    "np.ndarray.compress": ("f(x, mask)", {"mask": "mask.reshape(-1)"}),
    "torch.scatter": "f(x, 1, indices, values)", "torch.Tensor.scatter": "f(x, 1, indices, values)",
    "scatter_add": "f(x, 1, indices, values)",
    "np.put_along_axis": "f(x, indices, values, 1)", "np.put": "f(x, indices, values)",
    "np.ndarray.put": "f(x, indices, values)", "np.putmask": ("f(x, mask, values)", {"values": "b"}),
    "np.add.at": ("f(x, index, values)", {"values": "b[:2]"}),
    **dict.fromkeys(("nonzero", "argwhere", "flatnonzero", "unique"), "f(x)"),
    "kthvalue": ("f(x, k)[0]", {"k": 2}),
    "torch.median": "f(x)", "torch.Tensor.median": "f(x)", "nanmedian": "f(x)",
    **dict.fromkeys(("np.median", "jnp.median"), ("f(x)", {"n": "x.size"})),
    **dict.fromkeys(("quantile", "nanquantile", "percentile"), ("f(x, q)", {"q": 0.25})),
    **dict.fromkeys(("bucketize", "digitize"), ("f(x, of(bins))", dict.fromkeys(("bins", "boundaries"), (-1.0, 0.0)))),
    "histc": ("f(x, bins, low, high)", {"bins": 4, "low": -1.0, "high": 1.0}),
    "np.histogram": ("f(x, bins)", {"bins": 4}),
    "np.choose": ("f(index, choices)", {"index": "indices", "choices": "[a, b, a]"}),
    **dict.fromkeys(("relu_", "sigmoid_", "tanh_", "exp_", "sqrt_", "log_", "abs_", "round_", "floor_"), "f(x)"),
    **dict.fromkeys(("neg_", "negative_", "reciprocal_", "tril_", "triu_", "zero_", "elu_", "leaky_relu_"), "f(x)"),
    "np.ndarray.imag": "f(x)",
    **{f"torch.Tensor.{name}": "f(x)" for name in ("float", "double", "half", "long", "int", "short", "char", "bool")},
    "torch.Tensor.is_signed": "f(x)",
    "torch.Tensor.fill_diagonal_": ("f(x, value)", {"value": 0.25}), "torch.Tensor.eq_": "f(x, b)",
    "narrow": ("f(x, 0, start, length)", {"start": 1, "length": 2}),
    "torch.Tensor.select": ("f(x, 0, index)", {"index": 1}),
    "F.multi_margin_loss": ("f(x, y)", {"y": "labels", "n": 3}), "pairwise_distance": "f(a, b)", "F.pdist": "f(x)",
    "F.layer_norm": "f(x, x.shape[-1:])", "F.rms_norm": "f(x, x.shape[-1:])", "F.normalize": "f(x)",
    **{f"F.{loss}_loss": ("f(input, target)", {"target": "bits"})
       for loss in ("poisson_nll", "soft_margin", "multilabel_soft_margin")},
    "F.kl_div": ("f(input, target)", {"target": "bits"}),
    "F.hinge_embedding_loss": ("f(x, target)", {"target": "signs"}),
    "F.margin_ranking_loss": ("f(x1, x2, target)", {"target": "signs"}),
    "F.triplet_margin_loss": "f(anchor, positive, negative)",
    "F.cosine_embedding_loss": ("f(x1, x2, target)", {"target": "signs[:, 0]"}),
    "F.gaussian_nll_loss": "f(input, target, var)",
    "torch.nn.CosineSimilarity": "f(dim=-1)(a, b)", "torch.nn.PairwiseDistance": "f()(a, b)",
    "torch.nn.GLU": ("f()(x)", {"n": 2}),
}  # fmt: skip

# Rows that are not compared, and why.
LEFT: dict[str, str] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), "channels last, as the remark says"),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), "channels last"),
    **dict.fromkeys(("gumbel_softmax", "rrelu", "rrelu_"), "random numbers"),
    "poly1d": "a class", "np.testing": "a module", "chain_matmul": "of a list", "histogram": "two arrays",
    "searchsorted": "of a sorted array",
    **dict.fromkeys(("erfinv", "lgamma", "digamma", "inverse", "det", "svd", "qr", "cholesky"), "yours to write"),
    **dict.fromkeys(("logdet", "pinverse", "matrix_power", "apply_", "map_"), "yours to write"),
    **dict.fromkeys(("new_zeros", "new_ones", "new_full", "new_tensor", "new", "new_empty"), "makes a tensor"),
    "jnp.nan_to_num": "the greatest number of float32",
}  # fmt: skip
# Where a spelling may give other numbers, which its remark says.
VECTORS, NANS = ("vector", "special vector"), ("special", "special vector")
DIFFERS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("vstack", "hstack", "column_stack", "torch.block_diag"), VECTORS),
    **dict.fromkeys(("hsplit", "torch.Tensor.hsplit", "diag", "cov"), VECTORS),
    **dict.fromkeys(("dstack", "kron"), (*VECTORS, "rank 3")),
    **dict.fromkeys(("rot90", "diagonal", "trace", "adjoint"), ("rank 3",)),
    "unique_consecutive": ("matrix", "special", "integers", "rank 3"),
    **dict.fromkeys(("median", "modf", "sgn", "torch.heaviside", "logcumsumexp", "polyval"), NANS),
    **dict.fromkeys(("jnp.modf", "torch.trace", "torch.Tensor.trace"), ()),
    **dict.fromkeys(("torch.pow", "jnp.pow", "torch.Tensor.pow", "jnp.divmod", "np.reciprocal"), ("integers",)),
    **dict.fromkeys(("jax.nn.swish", "jax.nn.silu", "hardswish", "hard_swish", "soft_sign"), NANS),
    "F.kl_div": NANS, "F.multi_margin_loss": ("special",),
}  # fmt: skip


def spellings() -> list[tuple[str, str, str]]:
    """(name, our spelling, remark) of what is to be compared."""
    found = []
    for room, parts in WHOLE.items():
        part = ""
        for line in Path(foreign.__file__).with_name(f"{room}.txt").read_text(encoding="utf-8").splitlines():
            if line.startswith("# ----"):
                part = line.strip("# -")
            if not line or line.startswith("#"):
                continue
            names, _, ours = line.partition(" -> ")
            ours, _, remark = ours.partition(" # ")
            for name in names.split(", "):
                last = name.rpartition(".")[2]
                wanted = (part in parts and not {name, last} & LEFT.keys()) or {name, last} & CALLS.keys()
                if wanted and name.split(".")[0] in LIBRARIES and not ours.startswith("none: "):
                    found.append((name, ours, remark))
    return found


def library_of(name: str) -> Any:
    """The function or number of a name; of a method, what calls it."""
    first, *rest = name.split(".")
    if rest[0] in ("Tensor", "ndarray"):

        def method(t: Any, *others: Any, **options: Any) -> Any:
            found = getattr(t, rest[1])
            return found(*others, **options) if callable(found) else found

        return method
    found = pytest.importorskip(LIBRARIES[first])
    for part in rest:
        found = getattr(found, part, None)
    return found or pytest.skip(f"this {first} has no {name}")


def named(kind: str, of: Any, extra: dict[str, Any]) -> dict[str, Any]:
    """What the spellings call things, as one library has it."""
    x = KINDS[kind]
    # The same numbers in another order, so that NaN meets numbers and infinities meet each other.
    second = np.roll(x.ravel(), 2).reshape(x.shape)
    signs, rows = np.where(x > 0.1, 1.0, -1.0), np.array([[0, 2, 1], [1, 0, 2], [2, 1, 0]])
    arrays: dict[str, Any] = {
        **dict.fromkeys(("x", "a", "t", "input", "x1", "anchor"), x),
        **dict.fromkeys(("b", "y", "other", "value", "bias", "target", "x2", "positive"), second),
        "negative": np.roll(second.ravel(), 1).reshape(x.shape),
        "v": np.array([0.5, -2.0, 1.0]), "cube": CUBE, "mask": x > 0, "condition": x > 0,
        "weights": np.abs(second) + 0.5, "var": np.abs(second) + 0.5, "bits": (x > 0) * 1.0, "signs": signs,
        "indices": rows,
        "values": np.arange(9.0).reshape(3, 3), "index": np.array([2, 0]), "labels": np.array([2, 0, 1]),
    }  # fmt: skip
    names = {name: of(np.array(array, copy=True)) for name, array in arrays.items()}
    names |= {"n": x.shape[-1] if x.ndim else 1, "of": lambda values: of(np.array(values))}
    for key, value in extra.items():
        names[key] = eval(value, dict(names)) if isinstance(value, str) else value
    return names


def numbers(value: Any) -> list[np.ndarray]:
    """A result as arrays of float64: one, or those of a tuple."""
    if isinstance(value, (tuple, list)):
        return [array for part in value for array in numbers(part)]
    for method in ("detach", "numpy"):
        value = getattr(value, method)() if hasattr(value, method) else value
    return [np.asarray(value).astype("float64")]


def computed(text: str, names: dict[str, Any], known: dict[str, Any]) -> list[np.ndarray]:
    """What an expression gives; where it writes into x and returns nothing, x."""
    names["t"] = names["x"]
    if isinstance(ast.parse(text).body[0], ast.Assign):
        exec(text, {**known, **names})
        return numbers(names["x"])
    result = eval(text, {**known, **names})
    return numbers(names["x"] if result is None else result)


ARRAYS: dict[str, tuple[Any, float]] = {
    "np": (lambda: np.array, 1e-6),
    **dict.fromkeys(("torch", "F"), (lambda: pytest.importorskip("torch").tensor, 1e-6)),
    **dict.fromkeys(("jnp", "jax"), (lambda: pytest.importorskip("jax.numpy").asarray, 1e-4)),
}
KNOWN = {"tg": tg, "nn": tg.nn, "F": tg.nn.functional, "np": np, "math": math}


def compared(name: str, ours: str) -> dict[str, str]:
    """Of each kind of numbers that theirs takes: "", or what differs."""
    f, call = library_of(name), CALLS.get(name, CALLS.get(name.rpartition(".")[2], ""))
    if not callable(f):
        return {"": "" if np.array_equal(f, eval(ours, KNOWN), equal_nan=True) else f"{f} is not {ours}"}
    text, extra = call if isinstance(call, tuple) else (call, {})
    free = {node.id for node in ast.walk(ast.parse(ours)) if isinstance(node, ast.Name)}
    text = text or f"f({', '.join(n for n in ('x', 'a', 't', 'b', 'y', 'other', 'value') if n in free)})"
    of, exact = ARRAYS[name.split(".")[0]]
    found = {}
    for kind in KINDS:
        try:
            theirs = computed(text, named(kind, of(), extra), {"f": f})
        except Exception:  # it does not take this
            continue
        try:
            mine = computed(ours, named(kind, tg.tensor, extra), KNOWN)
        except Exception as error:
            if kind == "integers" and isinstance(error, TypeError):
                continue
            mine = error
        alike = (
            isinstance(mine, list)
            and len(mine) == len(theirs)
            and all(
                a.shape == b.shape and np.allclose(a, b, rtol=exact, atol=exact, equal_nan=True)
                for a, b in zip(mine, theirs, strict=True)
            )
        )
        found[kind] = "" if alike else f"{ours} gives {mine}, {name} {theirs}"
    return found


@pytest.mark.parametrize(("name", "ours", "remark"), spellings(), ids=[n for n, *_ in spellings()])
def test_a_spelling_computes_what_the_name_does(name: str, ours: str, remark: str) -> None:
    found = compared(name, ours)
    differing = {kind: what for kind, what in found.items() if what}
    known = DIFFERS.get(name, DIFFERS.get(name.rpartition(".")[2], ()))
    assert set(differing) == set(known), differing
    assert len(differing) < len(found)
    assert remark or not differing
