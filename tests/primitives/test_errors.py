"""What goes wrong, and what the error then says: the primitive or argument, the shapes, and the user's line."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.autograd import ops
from tapegrad.backends import BackendError

pytestmark = pytest.mark.filterwarnings(
    "ignore:You are comparing a array_api_strict dtype:UserWarning:.*primitive"
)

X, V, B = tg.ones((2, 3)), tg.ones((4,)), tg.ones((2, 3)) > 0
INTS = tg.asarray(np.array([1, 2]))
HERE = "test_errors.py"

# name, call, exception, parts of its message
ERRORS: tuple[tuple[str, Callable[[], Any], type[Exception], tuple[str, ...]], ...] = (
    ("shapes do not broadcast", lambda: X + V, ValueError, ("add", "float32[2, 3]", "float32[4]", HERE)),
    ("where", lambda: tg.where(B, X, V), ValueError, ("where", "[2, 3]", "[4]", HERE)),
    ("matmul", lambda: X @ V, ValueError, ("matmul", "of length 3", "only axis", "of length 4", HERE)),
    ("matmul 2-d", lambda: X @ X, ValueError, ("matmul", "second to last", "of length 2", HERE)),
    ("matmul 0-d", lambda: X @ tg.tensor(2.0), ValueError, ("matmul", "at least 1 dimension", HERE)),
    ("matmul number", lambda: X @ 2.0, ValueError, ("matmul", "use *")),
    ("linear", lambda: tg.linear(X, X, V), ValueError, ("linear", "second to last", HERE)),
    ("linear bias", lambda: tg.linear(X, X.T, V), ValueError, ("linear", "[4]", HERE)),
    ("linear bias of more axes", lambda: tg.linear(X, X.T, tg.ones((5, 2, 2))), ValueError,
     ("linear", "bias, of shape (5, 2, 2)", "x @ kernel + bias", HERE)),
    ("linear with a vector", lambda: tg.linear(V, V, V), ValueError, ("linear", "(in, out)", "x @ w + b", HERE)),
    ("vecdot", lambda: tg.vecdot(X, V), ValueError, ("multiply", "[2, 3]", "[4]", HERE)),
    ("tensordot", lambda: tg.tensordot(X, V, axes=1), ValueError, ("tensordot", "(2, 3)", "(4,)")),
    ("tensordot axes", lambda: tg.tensordot(X, V, axes=2), ValueError, ("tensordot", "axes=2", "1 dimensions")),
    ("tensordot number", lambda: tg.tensordot(X, V, axes=(5, 0)), IndexError, ("tensordot", "axis 5")),
    ("einsum count", lambda: tg.einsum("ij,jk->ik", X), ValueError, ("einsum", "names 2 operand(s), 1")),
    ("einsum in NumPy's form of lists", lambda: tg.einsum(X, [0, 1], [0]), TypeError, ("einsum", "text", '"ij->i"')),
    ("einsum label", lambda: tg.einsum("i1->i", X), ValueError, ("einsum", "letters", "'1'")),
    ("a new axis", lambda: tg.expand_dims(V, 5), IndexError, ("expand_dims", "a result of 2 dimension(s)")),
    ("sort", lambda: tg.sort(tg.tensor(1.0)), IndexError, ("sort: axis -1",)),
    ("einsum axes", lambda: tg.einsum("ijk->i", X), ValueError, ("einsum", "names 3 axes", "(2, 3)")),
    ("einsum lengths", lambda: tg.einsum("ij,j->i", X, V), ValueError, ("einsum", "'j'", "3", "4")),
    ("einsum output", lambda: tg.einsum("ij->iz", X), ValueError, ("einsum", "'z'")),
    ("einsum twice in output", lambda: tg.einsum("ij->ii", X), ValueError, ("einsum", "ii")),
    ("einsum lost axes", lambda: tg.einsum("...j->j", X), ValueError, ("einsum", "...")),
    ("reshape", lambda: X.reshape(4, 2), ValueError, ("reshape", "6 elements", "(2, 3)", "(4, 2)")),
    ("reshape unknown", lambda: X.reshape(4, -1), ValueError, ("reshape", "(4, -1)")),
    ("reshape two unknown", lambda: X.reshape(-1, -1), ValueError, ("reshape", "(-1, -1)")),
    ("reshape negative", lambda: X.reshape(-2, -3), ValueError, ("reshape", "(-2, -3)")),
    ("reshape float", lambda: X.reshape(2.5, 2), TypeError, ("reshape", "2.5")),
    ("broadcast_to", lambda: tg.broadcast_to(X, (3, 2)), ValueError, ("broadcast_to", "[2, 3]", "(3, 2)", HERE)),
    ("broadcast_to fewer", lambda: tg.broadcast_to(X, (3,)), ValueError, ("broadcast_to", "[2, 3]", "(3,)", HERE)),
    ("permute_dims", lambda: tg.permute_dims(X, (0,)), ValueError, ("permute_dims", "2 axes", "(0,)")),
    ("permute_dims twice", lambda: tg.permute_dims(X, (0, 0)), ValueError, ("permute_dims", "twice")),
    ("T", lambda: V.T, ValueError, ("T", "2 dimensions", "(4,)")),
    ("matrix_transpose", lambda: tg.matrix_transpose(V), ValueError, ("matrix_transpose", "(4,)")),
    ("squeeze", lambda: tg.squeeze(X, axis=1), ValueError, ("squeeze", "axis 1", "(2, 3)")),
    ("concat shapes", lambda: tg.concat([X, V]), ValueError, ("concat", "(2, 3)", "(4,)")),
    ("concat lengths", lambda: tg.concat([X, X.T], axis=0), ValueError, ("concat", "[2, 3]", "[3, 2]", HERE)),
    ("concat nothing", lambda: tg.concat([]), TypeError, ("concat", "at least one array")),
    ("concat tensor", lambda: tg.concat(X), TypeError, ("concat", "list or tuple")),
    ("stack", lambda: tg.stack([X, V]), ValueError, ("stack", "(2, 3)", "(4,)")),
    ("split", lambda: tg.split(X, 2, axis=1), ValueError, ("split", "3 elements", "2 equal")),
    ("split in none", lambda: tg.split(X, 0), ValueError, ("split", "0 equal")),
    ("axis", lambda: tg.sum(X, axis=2), IndexError, ("sum", "axis 2", "2 dimension(s)")),
    ("negative axis", lambda: tg.softmax(X, axis=-3), IndexError, ("softmax", "axis -3")),
    ("axis of what kind", lambda: tg.max(X, axis=1.5), TypeError, ("max", "integer", "1.5")),
    ("axis twice", lambda: tg.mean(X, axis=(1, -1)), ValueError, ("mean", "(1, -1)", "twice")),
    ("argmax axis", lambda: tg.argmax(X, axis=2), IndexError, ("argmax", "axis 2")),
    ("max of nothing", lambda: tg.max(tg.ones((0, 3))), ValueError, ("max", "no elements", "(0, 3)")),
    ("argmin of nothing", lambda: tg.argmin(tg.ones((0, 3)), axis=0), ValueError, ("argmin", "(0, 3)")),
    ("logsumexp of nothing", lambda: tg.logsumexp(tg.ones((3, 0)), axis=1), ValueError, ("logsumexp", "(3, 0)")),
    ("index", lambda: X[2], IndexError, ("getitem", "[2, 3]", "index 2", HERE)),
    ("index in an array", lambda: X[tg.asarray(np.array([0, -3]))], IndexError, ("getitem", "-3", "size 2", HERE)),
    ("too many indices", lambda: X[0, 0, 0], IndexError, ("getitem", "too many indices", HERE)),
    ("index of what kind", lambda: X[1.5], IndexError, ("index", "integers")),
    ("index by text", lambda: X["a"], IndexError, ("index", "integers", "'a'")),
    ("index by a dict", lambda: X[{"a": 1}], IndexError, ("index", "integers", "{'a': 1}")),
    ("slice of a fraction", lambda: X[1.5:], IndexError, ("index", "a slice", "integers", "1.5")),
    ("slice of a text", lambda: X[: "a"], IndexError, ("index", "a slice", "integers", "'a'")),
    ("mask of another shape", lambda: X[tg.asarray(np.ones((3, 3), bool))], IndexError, ("getitem", "3", HERE)),
    ("update out of bounds", lambda: tg.index_update(X, [5], 1.0), IndexError, ("index_update", "5", HERE)),
    ("update shape", lambda: tg.index_update(X, 0, V), ValueError, ("index_update", "[2, 3]", "[4]", HERE)),
    ("add out of bounds", lambda: tg.index_add(X, [5], 1.0), IndexError, ("index_add", "5", HERE)),
    ("add floats to integers", lambda: tg.index_add(INTS, [0], 2.5), TypeError, ("index_add", "float", "int64[2]")),
    ("and at a slice", lambda: tg.index_add(INTS, slice(1), 2.5), TypeError, ("index_add", "float", "int64[2]", HERE)),
    ("add a float tensor", lambda: tg.index_add(INTS, 0, V[0]), TypeError, ("float32", "astype('int64')")),
    ("add a list of floats", lambda: tg.index_add(INTS, ..., [0.5, 1.0]), TypeError, ("index_add", "float32")),
    ("add too large a number", lambda: tg.index_add(INTS.astype("int8"), [0], 300), OverflowError, ("300", "int8[2]")),
    ("and at an integer", lambda: tg.index_add(INTS.astype("int8"), 0, 300), OverflowError, ("300", "int8[2]", HERE)),
    ("add to booleans", lambda: tg.index_add(B, [0], 2), TypeError, ("index_add", "int", "bool[2, 3]", HERE)),
    ("and at a slice of them", lambda: tg.index_add(B, slice(1), 2), TypeError, ("index_add", "int", "bool[2, 3]")),
    ("take", lambda: tg.take(X, [3], axis=1), IndexError, ("take", "index 3", "axis 1", "-3 to 2", HERE)),
    ("take of one", lambda: tg.take(X, -4, axis=1), IndexError, ("take", "index -4", "axis 1", HERE)),
    ("take of floats", lambda: tg.take(X, [0.5]), IndexError, ("take", "integers", "float32[1]", "astype")),
    ("take of a mask", lambda: tg.take(X, [True, False]), IndexError, ("take", "bool[2]", "x[mask]")),
    ("take of a slice", lambda: tg.take(X, slice(2)), TypeError, ("slice",)),
    ("take along", lambda: tg.take_along_axis(X, [[9]]), IndexError, ("take_along_axis", "index 9", HERE)),
    ("take along floats", lambda: tg.take_along_axis(X, [[0.5]]), IndexError, ("take_along_axis", "integers")),
    ("take axis", lambda: tg.take(X, [0], axis=2), IndexError, ("take", "axis 2")),
    ("take_along_axis", lambda: tg.take_along_axis(X, INTS), ValueError,
     ("shape (2 or 1, any)", "(2,)", "expand_dims")),
    ("take_along_axis, another length", lambda: tg.take_along_axis(X, [[0], [0], [0]]), ValueError,
     ("take_along_axis", "x of shape (2, 3)", "indices of shape (2 or 1, any)", "(3, 1)")),
    ("take_along_axis of all", lambda: tg.take_along_axis(X, [[0]], axis=None), TypeError, ("axis", "integer", "None")),
    ("bits of floats", lambda: X & X, TypeError, ("bitwise_and", "float32[2, 3]", "logical_and", HERE)),
    ("bits of a float", lambda: ~X, TypeError, ("bitwise_invert", "logical_not", HERE)),
    ("minus a bool", lambda: B - B, TypeError, ("subtract", "bool[2, 3]", HERE)),
    ("integer power", lambda: INTS**-1, ValueError, ("power", "int64[2]", HERE)),
    ("too large a number", lambda: INTS.astype("uint8") + 300, OverflowError, ("add", "300", HERE)),
    ("no common integer", lambda: INTS.astype("uint64") + INTS, TypeError, ("add", "int64", "uint64")),
    ("label too large", lambda: ops.sparse_cross_entropy_p(X, tg.asarray(np.array([0, 3]))), IndexError,
     ("sparse_cross_entropy", "0 to 2", "3", HERE)),
    ("label negative", lambda: ops.sparse_cross_entropy_p(X, tg.asarray(np.array([-1, 0]))), IndexError,
     ("sparse_cross_entropy", "0 to 2", "-1", HERE)),
    ("labels too many", lambda: ops.sparse_cross_entropy_p(X, tg.asarray(np.zeros((2, 1), int))), ValueError,
     ("sparse_cross_entropy", "[2, 1]", HERE)),
    ("labels no integers", lambda: ops.sparse_cross_entropy_p(X, tg.ones((2,))), (IndexError, TypeError),
     ("sparse_cross_entropy", "integer", HERE)),
    ("pad width", lambda: tg.pad(X, (1, 2, 3, 4)), ValueError, ("pad", "2 pairs", "(1, 2, 3, 4)")),
    ("pad negative", lambda: tg.pad(X, -1), ValueError, ("pad", "negative", "slice")),
    ("pad of floats", lambda: tg.pad(X, 1.5), ValueError, ("pad", "1.5")),
    ("pad mode", lambda: tg.pad(X, 1, "replicate"), ValueError, ("pad", "'edge'", "'replicate'")),
    ("pad with a value by the edge", lambda: tg.pad(X, 1, "edge", constant_values=1), ValueError, ("pad", "'edge'")),
    ("pad integers with inf", lambda: tg.pad(INTS, 1, constant_values=np.inf), ValueError, ("pad", "inf", "int64")),
    ("pad booleans with 2", lambda: tg.pad(INTS > 0, 1, constant_values=2), ValueError, ("pad", "2", "bool")),
    ("pad of none", lambda: tg.pad(X[:0], 1, "edge"), ValueError, ("pad", "axis 0", "empty")),
    ("pad integers with a half", lambda: tg.pad(INTS, 1, constant_values=0.5), ValueError, ("pad", "0.5", "int64")),
    ("roll shifts", lambda: tg.roll(X, (1, 2), 0), ValueError, ("roll", "2 shifts", "1 axes")),
    ("roll by half", lambda: tg.roll(X, 0.5, 0), TypeError, ("roll", "0.5")),
    ("repeat how many", lambda: tg.repeat(X, [1, 2, 3], 0), ValueError, ("repeat", "3 repeats", "2 elements")),
    ("repeat negative", lambda: tg.repeat(X, -1), ValueError, ("repeat", "negative")),
    ("repeat half", lambda: tg.repeat(X, 1.5), TypeError, ("repeat", "1.5")),
    ("tril of a vector", lambda: tg.tril(X[0]), ValueError, ("tril", "2 dimensions", "(3,)")),
    ("triu k", lambda: tg.triu(X, 0.5), TypeError, ("triu", "k must be", "0.5")),
    ("diff how often", lambda: tg.diff(X, -1), ValueError, ("diff", "n must be", "-1")),
    ("top_k too many", lambda: tg.top_k(X, 4), ValueError, ("top_k", "k=4", "3 elements")),
    ("one_hot too large", lambda: tg.one_hot([0, 3], 3), IndexError, ("one_hot", "2')): labels", "0 to 2", "3")),
    ("one_hot negative", lambda: tg.one_hot([-1], 3), IndexError, ("one_hot", "0 to 2", "-1")),
    ("one_hot of floats", lambda: tg.one_hot([1.0], 3), TypeError, ("one_hot", "float32", "astype")),
    ("one_hot classes", lambda: tg.one_hot([1], 0), ValueError, ("one_hot", "classes", "0")),
    ("meshgrid of matrices", lambda: tg.meshgrid(X, X), ValueError, ("meshgrid", "(2, 3)")),
    ("cumulative_sum of all", lambda: tg.cumulative_sum(X), ValueError, ("cumulative_sum", "axis", "tg.flatten")),
    ("cumulative_prod axis", lambda: tg.cumulative_prod(X, 2), IndexError, ("cumulative_prod", "axis 2")),
    ("ragged list", lambda: tg.tensor([[1, 2], [3]]), ValueError, ("tensor", "equal lengths")),
    ("text", lambda: tg.tensor(["a"]), TypeError, ("tensor", "numbers")),
    ("text array", lambda: tg.tensor(np.array(["a"])), TypeError, ("tensor", "numbers")),
    ("complex", lambda: tg.tensor([1j]), TypeError, ("tensor", "complex")),
    ("complex array", lambda: tg.asarray(np.array([1j])), TypeError, ("asarray", "complex")),
    ("object array", lambda: tg.tensor(np.array([None])), TypeError, ("tensor", "object")),
    ("long double", lambda: tg.tensor(np.ones(2, np.longdouble)), TypeError, ("tensor", "long double")),
    ("list of tensors", lambda: tg.tensor([X, X]), TypeError, ("tensor", "tg.stack")),
    ("negative length", lambda: tg.zeros((2, -1)), ValueError, ("shape", "-1")),
    ("no such place", lambda: tg.ones((1,), device="tpu"), BackendError, ("'tpu'", "numpy")),
    ("no such device", lambda: X.to("cpu:1"), BackendError, ("'cpu:1'",)),
    ("dtype", lambda: X.astype("float31"), TypeError, ("float31",)),
    ("integers require grad", lambda: tg.tensor([1], requires_grad=True), TypeError, ("requires_grad", "int64")),
)  # fmt: skip


@pytest.mark.parametrize(
    ("call", "kind", "parts"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS]
)
def test_error(call: Any, kind: Any, parts: tuple[str, ...]):
    with pytest.raises(kind) as caught:
        call()
    # Without the text of the user's line, which is the row itself.
    said = re.sub(r"(\.py:\d+): .*", r"\1", str(caught.value))
    assert not [part for part in parts if part not in said], said


# ---- devices ----
@pytest.fixture
def there() -> tg.Tensor:
    pytest.importorskip("array_api_strict")
    import strict_backend

    strict_backend.register()
    return tg.ones((2, 3), device="strict:1")


MIXTURES: tuple[tuple[str, Callable[[Any, Any], Any]], ...] = (
    ("add", lambda a, b: a + b),
    ("where", lambda a, b: tg.where(a > 0, a, b)),
    ("where", lambda a, b: tg.where(a > 0, b, b)),
    ("where", lambda a, b: tg.where(a > 0, b, 0.0)),
    ("concat", lambda a, b: tg.concat([a, b])),
    ("concat", lambda a, b: tg.stack([a, b])),
    ("matmul", lambda a, b: a @ b.T),
    ("einsum", lambda a, b: tg.einsum("ij,ij->i", a, b)),
    ("matmul", lambda a, b: tg.tensordot(a, b)),
    ("maximum", lambda a, b: tg.clip(a, b, None)),
    ("index_update", lambda a, b: tg.index_update(a, 0, b[0])),
    ("index_add", lambda a, b: tg.index_add(a, 0, b[0])),
    ("getitem", lambda a, b: a[b > 0]),
    ("getitem", lambda a, b: tg.take(a, tg.argmax(b, axis=1))),
)


@pytest.mark.parametrize(("name", "f"), MIXTURES, ids=[f"{i} {name}" for i, (name, _) in enumerate(MIXTURES)])
def test_devices_do_not_mix(name: str, f: Any, there: tg.Tensor):
    """Not between backends, not between devices of one; and nothing is copied silently."""
    for other, place in ((X, "cpu"), (tg.ones((2, 3), device="strict:2"), "strict:2")):
        for a, b in ((there, other), (other, there)):
            with pytest.raises(BackendError, match=rf"(?s){name}.*is on .*move one with .*{HERE}") as caught:
                f(a, b)
            assert place in str(caught.value) and "strict:1" in str(caught.value)


def test_arrays_of_another_backend_do_not_mix(there: tg.Tensor):
    array = np.ones((2, 3))
    for f in (lambda: there + array, lambda: array * there, lambda: tg.where(there > 0, there, array)):
        with pytest.raises(BackendError, match="is on cpu"):
            f()
    assert (there + [[1.0, 2.0, 3.0]]).device == "strict:1"  # a list is on no device
    assert tg.where(there > 0, 1.0, 0.0).device == tg.clip(there, 0, 1).device == "strict:1"
    assert tg.tensor(there).device == tg.tensor(there.sum()).device == "strict:1"


def test_moves_are_recorded(there: tg.Tensor):
    x = tg.ones((2, 3), dtype="float64").requires_grad_()
    y = x.to("strict:1") * tg.ones((2, 3), dtype="float64", device="strict:1") * 2
    z = y.to("strict:2").to("numpy")
    assert (y.device, z.device) == ("strict:1", "cpu")
    z.sum().backward()
    assert x.grad.device == "cpu" and (x.grad.numpy() == 2).all()


@pytest.mark.parametrize("p", [ops.sum_p, ops.logsumexp_p], ids=lambda p: p.name)
def test_an_option_that_the_forward_hands_on_is_not_called_unknown(p: Any) -> None:
    with pytest.raises(IndexError, match=rf"^{p.name}\(float32\[\], axis=.*\): axis -1 is out of bounds"):
        p(tg.tensor(1.0), axis=(-1,), keepdims=True)
