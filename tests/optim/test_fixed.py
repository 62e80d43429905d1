"""What an optimizer trains is fixed when it is made: a line that would change it does nothing, and raises."""

from typing import Any

import pytest
from optimizer_rows import leaf

import tapegrad as tg
from tapegrad import optim


def add(opt: Any) -> None:
    opt.groups += [{"params": [leaf(1.0)]}]


def delete(opt: Any) -> None:
    del opt.groups[0]


def put(opt: Any) -> None:
    opt.groups[0].params[0] = leaf(1.0)


def set_to(name: str, value: Any) -> Any:
    return lambda opt: setattr(opt, name, value)


REFUSED: tuple[tuple[str, Any, str], ...] = (
    ("groups.append", lambda o: o.groups.append({"params": [leaf(1.0)]}), r"make a new optimizer with all groups"),
    ("groups.extend", lambda o: o.groups.extend([]), "make a new optimizer with all groups"),
    ("groups.insert", lambda o: o.groups.insert(0, {}), "make a new optimizer with all groups"),
    ("groups.pop", lambda o: o.groups.pop(), r"freeze it, p.requires_grad_\(False\)"),
    ("groups.remove", lambda o: o.groups.remove(o.groups[0]), "freeze it"),
    ("groups.clear", lambda o: o.groups.clear(), "freeze it"),
    ("groups +=", add, "make a new optimizer with all groups"),
    ("del groups[0]", delete, "freeze it"),
    ("groups =", set_to("groups", []), "groups of SGD is what it was made of"),
    ("flats =", set_to("flats", []), "flats of SGD is what it was made of"),
    ("defaults =", set_to("defaults", {}), "defaults of SGD is what it was made of"),
    ("defaults[lr] =", lambda o: o.defaults.__setitem__("lr", 0.5), r"set opt.lr = 0.5 for all groups"),
    ("params.append", lambda o: o.groups[0].params.append(leaf(1.0)), "make a new optimizer with all groups"),
    ("params.remove", lambda o: o.groups[0].params.remove(0), "freeze it"),
    ("params.pop", lambda o: o.groups[0].params.pop(), "freeze it"),
    ("params.clear", lambda o: o.groups[0].params.clear(), "freeze it"),
    ("params[0] =", put, "make a new optimizer with all groups"),
    ("names.append", lambda o: o.groups[0].names.append("w"), "make a new optimizer with all groups"),
    ("params =", lambda o: setattr(o.groups[0], "params", []), "nothing reads the attribute 'params' of a Group"),
    ("add_param_group", lambda o: o.add_param_group({"params": []}), "give the constructor, or bind, a list of"),
    ("param_groups", lambda o: o.param_groups.append({}), "tapegrad's name for param_groups is groups"),
)  # fmt: skip


@pytest.mark.parametrize(("change", "says"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_would_change_nothing_raises(change: Any, says: str) -> None:
    p, q = leaf(1.0), leaf(1.0)
    opt = optim.SGD([{"params": [p]}, {"params": [q], "lr": 0.5}], lr=0.1)
    with pytest.raises((AttributeError, TypeError), match=says):
        change(opt)
    p.grad, q.grad = tg.ones_like(p), tg.ones_like(q)
    opt.step()
    assert (p.numpy().round(4).tolist(), q.tolist()) == ([0.9], [0.5])


def test_they_are_tuples() -> None:
    p = leaf(1.0)
    opt = optim.SGD([p], lr=0.1)
    assert isinstance(opt.groups, tuple) and isinstance(opt.groups[0].params, tuple)
    assert opt.groups[0].params == (p,) and opt.groups[0].names == ("0",) and opt.defaults["lr"] == 0.1
    with pytest.raises(AttributeError, match="has no size"):
        opt.groups.size  # noqa: B018


def in_group(p: tg.Tensor, t: tg.Tensor) -> None:
    opt = optim.SGD([p], lr=0.1)
    opt.groups[0].lr = t  # type: ignore[assignment]


NUMBERS: dict[str, Any] = {
    "constructor": lambda p, t: optim.SGD([p], lr=t),
    "attribute": lambda p, t: setattr(optim.SGD([p], lr=0.1), "lr", t),
    "group": in_group,
    "group's dict": lambda p, t: optim.SGD([{"params": [p], "lr": t}]),
    "another option": lambda p, t: optim.Adam([p], weight_decay=t),
    "LBFGS": lambda p, t: optim.LBFGS([p], lr=t),
    "EMA": lambda p, t: optim.EMA([p], t),
    "schedule": lambda p, t: optim.schedules.Cosine(t, 10),
}


@pytest.mark.parametrize("make", NUMBERS.values(), ids=list(NUMBERS))
def test_a_number_that_requires_grad_would_lose_it(make: Any) -> None:
    make(leaf(1.0), tg.tensor(0.125))
    with pytest.raises(TypeError, match="a tensor that requires grad"):
        make(leaf(1.0), tg.tensor(0.125, requires_grad=True))


def test_of_a_tensor_the_number_is_copied() -> None:
    t = tg.tensor(0.125)
    opt = optim.SGD([leaf(1.0)], lr=t)
    t.assign(0.5)
    assert opt.lr == 0.125 and "of a tensor a copy" in (optim.Optimizer.__doc__ or "")
