"""Every argument of the public layers, losses, optimizers, schedules and functions is given what it cannot be.

A wrong kind raises an error that names the argument and what was given. What each annotation cannot be stands in one
table, so a new function or layer is tested as soon as it is public.
"""

import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn, optim
from wrong_arguments import GIVEN, LEAF, NAN, PAIR, PUBLIC, TESTED, WRONG, call, kind_of, parameters

# (function and argument, or an argument of any function): values that are accepted, and what they do.
FINE: dict[str, tuple[tuple[Any, ...], str]] = {
    "nn.Activation.activation": ((None,), "the identity, as in Dense"),
    "tg.full.fill_value": ((NAN, True), "filled with it"),
    "tg.full_like.fill_value": ((NAN, True), "filled with it"),
    "init.constant.value": ((NAN,), "filled with it"),
    "tg.pad.constant_values": ((NAN,), "filled with it"),
    "reduction": ((None,), "Keras's word for none"),
    "name": (("no such",), "any text is a name of a loss or metric"),
    "losses.CategoricalFocalCrossentropy.alpha": (([1.0, 2.0], PAIR), "one for each class"),
    "tg.linspace.start": ((NAN,), "NumPy's answer, all NaN"),
    "tg.linspace.stop": ((NAN,), "NumPy's answer, all NaN"),
    "output_size": ((None,), "PyTorch's word for the length of the input"),
    "size": ((None,), "one number, as in NumPy"),
    "nn.Upsample.scale_factor": (([1.0, 2.0], PAIR), "one for each axis"),
    "argument": (
        (b"same", {}, 3, NAN, "no such", None, True, PAIR),
        "a text of messages, for tapegrad's layers",
    ),
    "F.categorical_focal_crossentropy.alpha": (([1.0, 2.0], PAIR), "one for each class"),
}


def fault(known: str, name: str, kind: str, thing: Callable[..., Any], values: dict[str, Any]) -> str | None:
    """What is wrong with how a wrong value is answered."""
    value = values[name]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call(thing, values)
    except (TypeError, ValueError, tg.BackendError) as error:
        said = str(error)
        named = re.search(rf"\b{name}\b", said) or (kind == "array" and known.split(".")[1] in said)
        named = named or "expected numbers" in said or f"unknown backend {value!r}" in said
        # Of a list the wrong part is enough.
        part = repr(value[0]) if isinstance(value, (tuple, list)) and value else repr(value)[:12]
        shown = part in said or type(value).__name__ in said
        return None if named and shown else f"{name}={value!r}: {said[:150]}"
    fine, _ = FINE.get(f"{known}.{name}", FINE.get(name, ((), "")))
    accepted = any(v is value or (type(v) is type(value) and v == value) for v in fine)
    return None if accepted else f"{name}={value!r}: accepted"


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `set_backend` sets is as before after each test."""
    monkeypatch.setattr("tapegrad.backends._process_default", None)


@pytest.mark.parametrize("known", TESTED)
def test_a_wrong_kind_raises_and_names_the_argument(known: str) -> None:
    thing, values = PUBLIC[known], TESTED[known]
    if not values and not parameters(thing):
        return
    call(thing, values)  # what is given is fine
    faults = []
    for p in parameters(thing):
        kind, optional = kind_of(p.annotation)
        for wrong in WRONG[kind] if kind else ():
            if not (wrong is None and optional):
                faults.append(fault(known, p.name, kind or "", thing, values | {p.name: wrong}))
    told = "\n".join(f for f in faults if f)
    assert not told, told


def test_what_is_left_out_takes_functions_modules_or_files() -> None:
    for known in PUBLIC.keys() - TESTED.keys():
        needed = [p for p in parameters(PUBLIC[known]) if p.default is p.empty and p.name not in GIVEN]
        assert any(kind_of(p.annotation)[0] is None for p in needed), known
    assert len(TESTED) > 300


# ---- what is set on tensors, modules and optimizers ----
SGD = optim.SGD([tg.tensor([1.0], requires_grad=True)], 0.1)
NUMBERS = {"lr": (NAN, "x", None, True, [1.0], -1.0), "weight_decay": (NAN, "x", True, -1.0)}
SET: list[tuple[Callable[[], Any], str, tuple[Any, ...]]] = [
    (lambda: tg.tensor([1.0]), "requires_grad", WRONG["flag"]),
    (lambda: tg.tensor([1]), "requires_grad", (True, 1)),
    (lambda: tg.tensor([1.0]), "data", ("abc", None, [1.0], 3.0, {}, b"1", np.array(["a"]), np.array([1j]))),
    (lambda: tg.tensor([1.0], requires_grad=True), "data", (np.array([1]), np.array([True]))),
    (lambda: tg.tensor([1.0]), "grad", ("abc", {}, object(), b"1", [1.0, 2.0])),
    (lambda: nn.Parameter([1.0]), "requires_grad", WRONG["flag"]),
    (lambda: nn.Parameter([1.0]), "data", ("abc", None, np.array([1]))),
    *((lambda: nn.Dense(2), name, WRONG["flag"]) for name in ("training", "trainable")),
    (lambda: nn.Dense(2), "name", (3, None, b"x", "")),
    *((lambda: optim.SGD([LEAF], 0.1), name, values) for name, values in NUMBERS.items()),
    *((lambda: SGD.groups[0], name, values) for name, values in NUMBERS.items()),
    (lambda: optim.SGD([LEAF], 0.1), "maximize", ("no", 2, None, b"1")),
]  # fmt: skip


ROWS = [(make, name, value) for make, name, values in SET for value in values]


@pytest.mark.parametrize(("make", "name", "value"), ROWS, ids=[f"{row[1]}-{i}" for i, row in enumerate(ROWS)])
def test_a_wrong_value_that_is_set_raises_and_names_the_attribute(make: Any, name: str, value: Any) -> None:
    owner = make()
    before = getattr(owner, name)
    with pytest.raises((TypeError, ValueError), match=name):
        setattr(owner, name, value)
    assert getattr(owner, name) is before or getattr(owner, name) == before


def test_data_takes_arrays_and_tensors() -> None:
    t, other = tg.tensor([1.0, 2.0], requires_grad=True), tg.tensor([3.0, 4.0])
    t.data = t.data * 2
    t.data = t.data - 0.5 * other  # a Tensor, as in PyTorch
    assert t.tolist() == [0.5, 2.0] and t.requires_grad and type(t.data) is np.ndarray
    scalar = tg.tensor(1.0)
    scalar.data = scalar.data * 2  # what NumPy computes of it is no array
    assert scalar.item() == 2.0 and type(scalar.data) is np.ndarray
