"""Every public class: what cannot be called is refused in the place of a method, as `model.train = False`."""

import inspect
from typing import Any

import pytest

import tapegrad as tg
from tapegrad import models, nn, optim
from tapegrad.optim import schedules
from wrong_arguments import LEAF, PUBLIC, TESTED, call

GIVEN: dict[str, tuple[Any, ...]] = {
    "tg.Tensor": (LEAF.data,), "tg.Parameter": ([1.0],), "nn.Parameter": ([1.0],),
    "nn.Buffer": ([1.0],), "tg.use_backend": ("numpy",), "data.Dataset": ([1.0], None, "mine"),
    "models.ModelCheckpoint": ("best.safetensors",), "models.BackupAndRestore": ("here.safetensors",),
    "models.CSVLogger": ("log.csv",), "models.LearningRateScheduler": (len,),
}  # fmt: skip
# The base class of optimizers is not for making one, and files are read when these are made.
LEFT_OUT = ("optim.Optimizer", "data.CsvRows", "data.ParquetRows")
ROOMS = {"tg": tg, "nn": nn, "optim": optim, "schedules": schedules, "data": tg.data, "models": models}
CLASSES = {
    f"{prefix}.{name}": kind
    for prefix, room in ROOMS.items()
    for name in room.__all__
    if isinstance(kind := getattr(room, name), type) and not issubclass(kind, BaseException)
}
CLASSES |= {known: thing for known, thing in PUBLIC.items() if isinstance(thing, type)}
CLASSES = {known: kind for known, kind in CLASSES.items() if known not in LEFT_OUT}


def made(known: str) -> Any:
    kind = CLASSES[known]
    return call(kind, TESTED[known]) if known in TESTED else kind(*GIVEN.get(known, ()))


@pytest.mark.parametrize("known", CLASSES)
def test_a_method_stays_a_method(known: str) -> None:
    thing = made(known)
    methods = [
        n for n in dir(type(thing)) if n[0] != "_" and inspect.isroutine(getattr(type(thing), n, None))
    ]
    for name in methods:
        with pytest.raises(AttributeError):
            setattr(thing, name, 3)
        assert callable(getattr(thing, name))


class Mine(nn.Module):
    def shift(self) -> int:
        return 1


# An object, a name of a method, a value, and what the message says to write.
SAYS: tuple[tuple[Any, str, Any, str], ...] = (
    (nn.Dense(2), "train", False, r"Dense.train is a method, got False.*: call it, .train\(False\)"),
    (nn.Dense(2), "eval", True, r"call it, .eval\(\)"),
    (nn.Dense(2), "to", "cuda", r"call it, .to\('cuda'\)"),
    (nn.Dense(2), "parameters", [], r"parameters is a method, got list"),
    (Mine(), "config", {"width": 3}, "or give the attribute another name"),
    (optim.SGD([LEAF]), "step", 3, r"SGD.step is a method, got 3.*: call it, .step\("),
    (models.Ridge(), "fit", None, r"Ridge.fit is a method, got None.*: call it, .fit\(X, y, sample_weight\)"),
)


@pytest.mark.parametrize(("thing", "name", "value", "says"), SAYS, ids=range(len(SAYS)))
def test_the_message_says_what_to_write(thing: Any, name: str, value: Any, says: str) -> None:
    with pytest.raises(AttributeError, match=says):
        setattr(thing, name, value)


def test_a_function_and_a_method_of_the_users_may_be_replaced() -> None:
    mine = Mine()
    mine.forward = lambda x: x * 2.0
    mine.shift = 3
    assert mine(1.0) == 2.0 and mine.shift == 3
