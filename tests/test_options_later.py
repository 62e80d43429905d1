"""Every public class that takes options: an attribute that nothing reads raises when it is set, and an option is
checked as in the constructor, with what the constructor would keep of it."""

import warnings
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import models, nn, optim
from tapegrad.autograd.attributes import KnownAttributes, Options
from tapegrad.autograd.signatures import signature
from tapegrad.optim import schedules
from wrong_arguments import LEAF, PUBLIC, TESTED, WRONG, call, kind_of, parameters

CLASSES = {known: thing for known, thing in PUBLIC.items() if isinstance(thing, type) and known in TESTED}
CALLBACKS = {
    f"models.{name}": kind
    for name in models.__all__
    if isinstance(kind := getattr(models, name), type) and issubclass(kind, models.Callback)
}
# They take notes of the user: a name that is near none of theirs.
NOTES = (nn.Module, nn.losses.Loss, models.Callback)
# Their options are read by scikit-learn's rules, when `fit` is called; records; what has no options.
OTHER_RULES = (tg.Tensor, tg.use_backend, tg.data.Dataset, models.History, schedules.Schedule)


def made(known: str) -> Any:
    tg.manual_seed(0)
    return call(CLASSES[known], TESTED[known])


def options(known: str) -> list[str]:
    return [p.name for p in parameters(CLASSES[known])]


def misspelt(name: str) -> str:
    return name[: len(name) // 2] + name[len(name) // 2 + 1 :]


def test_every_public_class_is_of_a_kind_that_looks_at_what_is_set() -> None:
    """Or is a schedule, which is frozen, or an estimator of scikit-learn's kind."""
    kinds = (KnownAttributes, Options, optim.Optimizer, *OTHER_RULES)
    rooms = {"tg": tg, "nn": nn, "optim": optim, "schedules": schedules, "data": tg.data, "models": models}
    for prefix, room in rooms.items():
        for name in room.__all__:
            kind = getattr(room, name)
            if isinstance(kind, type) and not issubclass(kind, BaseException):
                assert issubclass(kind, kinds) or hasattr(kind, "get_params"), f"{prefix}.{name}"


@pytest.mark.parametrize("known", CLASSES)
def test_a_misspelt_or_unknown_attribute_raises(known: str) -> None:
    thing = made(known)
    names = [misspelt(max(options(known), key=len))] if options(known) else []
    names = [name for name in names if len(name) > 2]
    if not isinstance(thing, NOTES):
        names.append("no_such_thing")
    for name in names:
        with pytest.raises(AttributeError):
            setattr(thing, name, 1)
        assert name not in getattr(thing, "__dict__", {})


def accepted(known: str, name: str, value: Any) -> bool:
    """Whether the constructor takes the value, or says in FINE why."""
    try:
        call(CLASSES[known], TESTED[known] | {name: value})
    except (TypeError, ValueError, tg.BackendError):
        return False
    return True


def taken(known: str, name: str, value: Any) -> bool:
    """Whether an object that is made takes it, silently."""
    thing = made(known)
    try:
        setattr(thing, name, value)
    except (TypeError, ValueError, AttributeError, tg.BackendError):
        return False
    return True


@pytest.mark.parametrize("known", CLASSES)
def test_a_wrong_value_of_an_option_raises_later_too(known: str) -> None:
    faults = []
    for p in parameters(CLASSES[known]):
        kind, optional = kind_of(p.annotation)
        for wrong in WRONG[kind] if kind else ("no such", 3.5):
            # None in the place of a bias takes it away.
            if wrong is None and (optional or p.name == "bias"):
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if taken(known, p.name, wrong) and not accepted(known, p.name, wrong):
                    faults.append(f"{p.name} = {wrong!r}")
    assert not faults, faults


@pytest.mark.parametrize("kind", CALLBACKS.values(), ids=list(CALLBACKS))
def test_callbacks_look_at_what_is_set(kind: Any) -> None:
    try:
        thing = kind()
    except TypeError:  # a path, or functions
        return
    for name in [n for n in signature(kind).parameters if len(n) > 4 and n in vars(thing)]:
        with pytest.raises(AttributeError):
            setattr(thing, misspelt(name), 1)


# An object, what is set, and a function of it that gives the same as that of an object made so.
WORKS: dict[str, tuple[Any, Any, Any]] = {
    "loader.sampler": (
        lambda **o: tg.data.DataLoader(np.arange(6.0), batch_size=2, seed=0, **o), {"sampler": [1, 4, 2]},
        lambda d: [b[0].tolist() for b in d],
    ),
    "loader.transform with a generator": (
        lambda **o: tg.data.DataLoader(np.arange(6.0), batch_size=2, seed=0, **o),
        {"transform": lambda b, draw: (b[0] + draw.random(),)}, lambda d: [b[0].tolist() for b in d],
    ),
    "loader.workers": (
        lambda **o: tg.data.DataLoader(np.arange(6.0), batch_size=2, seed=0, **o), {"workers": 2},
        lambda d: [b[0].tolist() for b in d],
    ),
    "batches.batch_size": (
        lambda **o: tg.data.Batches(np.arange(6.0), shuffle=False, **o), {"batch_size": 4},
        lambda d: [b[0].tolist() for b in d],
    ),
    "sampler.shuffle": (
        lambda **o: tg.data.SubsetSampler([5, 2, 4], **o), {"shuffle": False},
        lambda s: s.order(6, np.random.default_rng(0)).tolist(),
    ),
    "rule.l2": (nn.L2, {"l2": 0.5}, lambda r: r(tg.ones((2, 2))).item()),
    "rule.axis": (nn.MaxNorm, {"axis": [0, 1]}, lambda r: r(tg.full((2, 2), 9.0)).tolist()),
    "EMA.decay": (lambda **o: optim.EMA([nn.Parameter([1.0])], **o), {"decay": 0.25}, lambda e: moved(e)),
    "LBFGS.max_iter": (lambda **o: optim.LBFGS([nn.Parameter([1.0])], **o), {"max_iter": 2}, lambda o: fitted(o)),
    "LBFGS.line_search": (
        lambda **o: optim.LBFGS([nn.Parameter([1.0])], **o), {"line_search": "strong_wolfe"}, lambda o: fitted(o),
    ),
    "Plateau.patience": (
        lambda **o: optim.Plateau(optim.SGD([nn.Parameter([1.0])]), **o), {"patience": 0},
        lambda p: [p.update(v) for v in (1.0, 2.0, 3.0)],
    ),
}  # fmt: skip


def moved(ema: Any) -> float:
    for p in ema.params.values():
        p.assign([2.0])
    ema.update()
    return float(ema.averages["0"].item())


def fitted(opt: Any) -> list[float]:
    (p,), seen = opt.params.values(), []

    def closure() -> tg.Tensor:
        seen.append(p.item())
        opt.zero_grad()
        loss = tg.sqrt(1.0 + (p - 3.0) ** 2).sum()
        loss.backward()
        return loss

    opt.step(closure)
    return [*seen, p.item()]


@pytest.mark.parametrize(("make", "option", "of"), WORKS.values(), ids=list(WORKS))
def test_an_option_that_is_set_later_does_what_it_does_in_the_constructor(
    make: Any, option: Any, of: Any
) -> None:
    plain, right, later = make(), make(**option), make()
    for name, value in option.items():
        setattr(later, name, value)
    assert of(later) == of(right)
    if "workers" not in option:
        assert of(plain) != of(make(**option))


def set_to(name: str, value: Any) -> Any:
    return lambda thing: setattr(thing, name, value)


REFUSED: tuple[tuple[Any, Any, str], ...] = (
    (lambda: tg.data.DataLoader(np.arange(4.0)), set_to("epoch", 3), "epoch is not for setting"),
    (lambda: tg.data.DataLoader(np.arange(4.0)), set_to("collate", list), "make a new one, DataLoader"),
    (lambda: tg.data.DataLoader(np.arange(4.0)), set_to("prefetch", 2), "needs threads"),
    (lambda: tg.data.DataLoader(np.arange(4.0), shuffle=True), set_to("sampler", [1]), "both say the order"),
    (lambda: tg.data.DataLoader(np.arange(4.0)), set_to("sampler", 3), "must be a sampler"),
    (lambda: tg.data.DataLoader(iter([1.0])), set_to("shuffle", True), "an iterable keeps its order"),
    (lambda: tg.data.DataLoader(np.arange(4.0), batch_size=4), lambda d: drop_all(d), "there is no batch"),
    (lambda: tg.data.WeightedSampler([1, 0]), set_to("weights", [0, 1]), "make a new one, WeightedSampler"),
    (lambda: nn.MinMaxNorm(), set_to("min_value", 3.0), "is below min_value"),
    (lambda: optim.LBFGS([LEAF]), set_to("line_search_fn", "strong_wolfe"), "did you mean 'line_search'"),
    (lambda: optim.EMA([LEAF]), set_to("averages", {}), "is not for setting"),
    (lambda: optim.EMA([LEAF]), set_to("params", [LEAF]), "make a new one, EMA"),
    (lambda: optim.Plateau(optim.SGD([LEAF])), set_to("mode", "max"), "make a new one, Plateau"),
    (lambda: nn.Linear(2, 3), set_to("device", "cpu"), "make a new one, Linear"),
    (lambda: nn.Bidirectional(nn.LSTM(2)), set_to("merge_mode", "no such"), "merge_mode"),
)  # fmt: skip


def drop_all(loader: Any) -> None:
    loader.drop_last = True
    loader.batch_size = 5


@pytest.mark.parametrize(("make", "change", "says"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_refused_says_what_to_write(make: Any, change: Any, says: str) -> None:
    thing = make()
    with pytest.raises((AttributeError, TypeError, ValueError), match=says):
        change(thing)


def test_a_refused_option_leaves_the_old_one() -> None:
    loader = tg.data.DataLoader(np.arange(4.0), batch_size=2, drop_last=True)
    with pytest.raises(ValueError, match="there is no batch"):
        loader.batch_size = 5
    assert loader.batch_size == 2 and len(loader) == 2


def test_a_class_of_the_users_takes_any_name() -> None:
    class Mine(nn.L2):
        pass

    rule = Mine()
    rule.note = "mine"
    with pytest.raises(ValueError, match="Mine: l2"):
        rule.l2 = -1
    assert rule.note == "mine"


@pytest.mark.parametrize(
    ("layer", "name", "value"),
    [
        (nn.LSTM(2, in_features=2), "dropout", 0.5), (nn.Conv2D(2, 3, in_features=1), "strides", 2),
        (nn.TransformerEncoderLayer(4, 2, 8), "activation", "gelu"), (nn.Embedding(4, 2), "padding_idx", -1),
        (nn.MaxPool2d(4), "padding", 2), (nn.HuberLoss(), "delta", 2), (nn.Softmax(), "axis", 0),
    ],
)  # fmt: skip
def test_no_second_object_is_made_to_check_an_option(
    layer: Any, name: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = getattr(layer, name)

    def another(*args: Any, **more: Any) -> None:
        raise AssertionError("a second object")

    monkeypatch.setattr(type(layer), "__init__", another)
    setattr(layer, name, value)
    assert getattr(layer, name) != kept
