"""Results have memory of their own, but for what docs/conventions.md lists, in eager and in compiled calls.

Every public function is called in every form of a table. A form that a function does not take raises, and is left out.
"""

import re
import warnings
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

CONVENTIONS = (Path(__file__).parents[2] / "docs" / "conventions.md").read_text(encoding="utf-8")
COPIES = CONVENTIONS.partition("## Copies")[2].partition("\n## ")[0]


def listed(label: str) -> set[str]:
    """The names in the item of that label."""
    item = COPIES.partition(f"- **{label}.**")[2].partition("\n- ")[0]
    return set(re.findall(r"`(?:tg\.|t\.)?(\w+)", item))


VIEWS, ITSELF = listed("Views"), listed("The argument itself")

# What sets or reads something else than tensors.
OTHERS = {
    "save", "load", "set_backend", "use_backend", "set_default_dtype", "manual_seed", "jit", "detect_anomaly",
    "no_grad", "enable_grad", "keep_lines", "custom_gradient", "checkpoint", "check_grads", "tape",
}  # fmt: skip
FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: value
    for module in (tg.random, tg.nn.functional, tg)
    for name in dir(module)
    if not name.startswith("_")
    and name.islower()
    and name not in OTHERS
    and callable(value := getattr(module, name))
} | {
    "T": lambda a: a.T,
    "mT": lambda a: a.mT,
    "detach": lambda a: a.detach(),
    "to": lambda a: a.to("cpu"),
    "to_device": lambda a: a.to_device("cpu"),
    "asarray(copy)": lambda a: tg.asarray(a, copy=True),
    "copy.copy": lambda a: a.__copy__(),
    "copy.deepcopy": lambda a: a.__deepcopy__({}),
    "+t": lambda a: a.__pos__(),
    "t ** 1": lambda a: a.__pow__(1),
    "t * 1": lambda a: tg.asarray(a) * 1,
    "t | t": lambda a: a.__or__(a),
}
FORMS: dict[str, Callable[[Any, Any], Any]] = {
    "f(a)": lambda f, a: f(a),
    "f(a, a)": lambda f, a: f(a, tg.tensor(a)),
    **{f"f(a, {n})": (lambda f, a, n=n: f(a, n)) for n in (0, 1, 2, -1, None, (), (0,), (1, 1), 1.0, "cpu", "edge")},
    **{f"f({s!r}, a)": (lambda f, a, s=s: f(s, a)) for s in ("i->i", "ij->ij", "ij->ji", "ii->i", "...->...")},
    **{f"f(a, axis={n})": (lambda f, a, n=n: f(a, axis=n)) for n in ((), 0, -1, None, (0,))},
    **{f"f(a, 0, axis={n})": (lambda f, a, n=n: f(a, 0, axis=n)) for n in ((), 0, None, (0,))},
    "f(a, 1, 0)": lambda f, a: f(a, 1, 0),
    "f([a])": lambda f, a: f([a]),
    "f(a, shape)": lambda f, a: f(a, a.shape),
    "f(a, n=0)": lambda f, a: f(a, n=0),
    "f(a, k=-9)": lambda f, a: f(a, k=-9),
    "f(a, k=9)": lambda f, a: f(a, k=9),
    "f(a, slice)": lambda f, a: f(a, slice(0, 0), 1),
    "f(a, mask)": lambda f, a: f(a, tg.ones_like(a) > 0),
    "f(a, array)": lambda f, a: f(a, tg.arange(a.shape[0])),
    "f(a, axis=0, keepdims=True)": lambda f, a: f(a, axis=0, keepdims=True),
    "f(a, dtype)": lambda f, a: f(a, a.dtype),
    "f(a, dtype=dtype)": lambda f, a: f(a, dtype=a.dtype),
    "f(a, copy=True)": lambda f, a: f(a, copy=True),
    "f(a, 0, 'edge')": lambda f, a: f(a, 0, "edge"),
    "f(mask, a, a)": lambda f, a: f(tg.ones_like(a) > 0, a, a),
    "f(a, 0, 1)": lambda f, a: f(a, 0, 1),
    "f(a, 0.0, True)": lambda f, a: f(a, 0.0, True),
    "f(a, 0.5, False)": lambda f, a: f(a, 0.5, False),
    "f(a, training=False)": lambda f, a: f(a, training=False),
}  # fmt: skip
DTYPES = ("float32", "int64", "bool")
SHAPES = ((2, 2), (2,), (1,), (1, 1), ())


def argument(dtype: str, shape: tuple[int, ...]) -> Any:
    return tg.tensor((np.arange(1.0, 1.0 + np.prod(shape)).reshape(shape) * 37.0).astype(dtype))


def tensors(result: Any) -> list[Any]:
    return [
        r for r in (result if isinstance(result, (list, tuple)) else [result]) if isinstance(r, tg.Tensor)
    ]


def tried(name: str, form: str, a: Any) -> list[Any]:
    """The tensors that a function gives in a form; none if it does not take it."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return tensors(FORMS[form](FUNCTIONS[name], a))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RuntimeError):
        return []


def shares_places(array: np.ndarray) -> bool:
    return array.size > 0 and any(n > 1 and s == 0 for n, s in zip(array.shape, array.strides, strict=True))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_shares_memory_is_listed(name: str) -> None:
    kinds = set()
    for dtype in DTYPES:
        for shape in SHAPES:
            for form in FORMS:
                a = argument(dtype, shape)
                results = tried(name, form, a)
                where = f"{name} as {form} of {dtype}{list(shape)}"
                for r in results:
                    if r is a:
                        kinds.add("itself")
                        assert name in ITSELF, f"{where} is its argument"
                    elif np.shares_memory(r.data, a.data):
                        kinds.add("view")
                        assert name in VIEWS, f"{where} is a view"
                    assert name == "broadcast_to" or not shares_places(r.data), f"{where} shares places"
                for r, s in combinations(results, 2):
                    assert r is not s and not np.shares_memory(r.data, s.data), f"{where}: two share memory"
    assert (name not in VIEWS or "view" in kinds) and (name not in ITSELF or "itself" in kinds)


def test_every_listed_name_is_tried() -> None:
    assert VIEWS and ITSELF and set(FUNCTIONS) >= VIEWS | ITSELF


# ---- what the compiler might leave out: what has the elements of the argument ----
Form = tuple[str, str, tuple[int, ...]]
# These look at the elements of a second tensor, which programs cannot.
READ = {"f(a, a)"}
# So does `linspace`. The results of the others are views of new memory, into which programs do not write.
AS_PYTHON = {"linspace", "roll", "tensordot"}


def with_its_elements(name: str) -> list[Form]:
    """(form, dtype, shape) where a function gives its argument's elements; of forms that give the same, the first."""
    found: dict[Any, Form] = {}
    for dtype in DTYPES:
        for shape in ((2, 2), (1,)):
            for form in (form for form in FORMS if form not in READ):
                a = argument(dtype, shape)
                results = tried(name, form, a)
                if results and all(
                    r.dtype == a.dtype and r.size and np.isin(r.data, a.data).all() for r in results
                ):
                    found.setdefault((dtype, shape, str(results)), (form, dtype, shape))
    return list(found.values())


def written(name: str, forms: list[Form]) -> Callable[..., list[Any]]:
    """A step that calls a function in these forms with results of its own, and writes into what it gets."""

    def step(*given: Any) -> list[Any]:
        returned = []
        for (form, _, _), a in zip(forms, given, strict=True):
            own = ~a if a.dtype == bool else a + 1
            results = tensors(FORMS[form](FUNCTIONS[name], own))
            for r in results:
                r[(0,) * r.ndim] = False if a.dtype == bool else 7
            returned += [own, *results]
        return returned

    return step


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - VIEWS - ITSELF - AS_PYTHON - set(dir(tg.random))))
def test_a_write_into_a_result_changes_nothing_else(name: str) -> None:
    forms = with_its_elements(name)
    step, given = written(name, forms), [argument(dtype, shape) for _, dtype, shape in forms]
    want = [t.tolist() for t in step(*given)]
    for emitter in ("numpy", "native"):
        compiled = tg.jit(step, emitter=emitter)
        for _ in range(3):
            assert [t.tolist() for t in compiled(*given)] == want, (emitter, forms)
