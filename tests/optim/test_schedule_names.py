"""What is answered for a schedule's name in PyTorch or Keras gives that schedule's numbers, and what is answered for an
initializer's name draws numbers of the same spread."""

from typing import Any

import numpy as np
import pytest

from tapegrad import nn, optim
from tapegrad.autograd import foreign
from tapegrad.optim import schedules

STEPS = 40
# theirs -> its arguments there, and what the names in our spelling stand for
PYTORCH: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "ConstantLR": ({"factor": 0.25, "total_iters": 5}, {}),
    "LinearLR": ({"start_factor": 0.25, "total_iters": 5}, {"steps": 5, "start": 0.125}),
    "StepLR": ({"step_size": 7, "gamma": 0.5}, {"every": 7}),
    "MultiStepLR": ({"milestones": [3, 9], "gamma": 0.5}, {}),
    "ExponentialLR": ({"gamma": 0.5}, {}),
    "PolynomialLR": ({"total_iters": 20}, {"steps": 20}),
    "CosineAnnealingLR": ({"T_max": STEPS, "eta_min": 0.125}, {"steps": STEPS}),
    "CosineAnnealingWarmRestarts": ({"T_0": 10, "T_mult": 2, "eta_min": 0.125}, {"steps": 10}),
    "OneCycleLR": (
        {"max_lr": 0.5, "total_steps": STEPS, "cycle_momentum": False},
        {"peak": 0.5, "steps": STEPS},
    ),
}
KERAS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "ExponentialDecay": (
        {"initial_learning_rate": 0.5, "decay_steps": 7, "decay_rate": 0.5},
        {"factor": 0.5},
    ),
    "PiecewiseConstantDecay": ({"boundaries": [3, 9], "values": [0.5, 0.25, 0.125]}, {}),
    "InverseTimeDecay": (
        {"initial_learning_rate": 0.5, "decay_steps": 7, "decay_rate": 0.5},
        {"rate": 0.5, "every": 7},
    ),
    "PolynomialDecay": (
        {"initial_learning_rate": 0.5, "decay_steps": 20, "end_learning_rate": 0.125, "power": 2.0},
        {"steps": 20, "end": 0.125},
    ),
    "CosineDecay": (
        {"initial_learning_rate": 0.5, "decay_steps": 20, "alpha": 0.25},
        {"steps": 20, "end": 0.125},
    ),
    "CosineDecayRestarts": (
        {"initial_learning_rate": 0.5, "first_decay_steps": 7, "t_mul": 2.0, "m_mul": 1.0, "alpha": 0.25},
        {"steps": 7, "end": 0.125},
    ),
}
# Those without numbers of their own.
OTHERS = {"LambdaLR", "SequentialLR", "ReduceLROnPlateau", "LearningRateSchedule"}


def spelled(name: str, arguments: dict[str, Any]) -> Any:
    """What our spelling makes, with a learning rate of 0.5."""
    ours = foreign.entry(name, schedules.FOREIGN_NAMES[name]).ours
    made: Any = eval(ours, {**vars(schedules), "value": 0.5, **arguments})
    return made


def test_every_name_is_compared() -> None:
    assert set(schedules.FOREIGN_NAMES) == {*PYTORCH, *KERAS, *OTHERS}


@pytest.mark.parametrize("name", schedules.FOREIGN_NAMES)
def test_a_name_is_answered(name: str) -> None:
    with pytest.raises(AttributeError, match=f"tapegrad(.s name for| has no) {name}"):
        getattr(schedules, name)
    first = schedules.FOREIGN_NAMES[name].split("(")[0].removeprefix("optim.")
    assert hasattr(schedules, first) or hasattr(optim, first) or name == "LambdaLR"


def test_an_unknown_name_is_answered_with_all() -> None:
    with pytest.raises(AttributeError, match="there are Schedule, Constant"):
        _ = schedules.Sine


@pytest.mark.parametrize("name", PYTORCH)
def test_the_answer_gives_pytorchs_numbers(name: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    options, arguments = PYTORCH[name]
    opt = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    theirs = getattr(torch.optim.lr_scheduler, name)(opt, **options)
    ours = spelled(name, {**options, **arguments})
    for t in range(STEPS):
        assert ours(t) == pytest.approx(opt.param_groups[0]["lr"], rel=1e-9, abs=1e-12), t
        opt.step()
        if t < STEPS - 1:
            theirs.step()


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", KERAS)
def test_the_answer_gives_kerass_numbers(name: str) -> None:
    keras = pytest.importorskip("keras")
    options, arguments = KERAS[name]
    theirs = getattr(keras.optimizers.schedules, name)(**options)
    ours = spelled(name, {**options, **arguments})
    for t in range(STEPS):  # in float32 there
        assert ours(t) == pytest.approx(float(theirs(t)), rel=1e-5, abs=1e-6), t


# ---- initializers ----
SHAPE = (400, 300)


def drawn(name: str) -> Any:
    """What the initializer of another library draws with its defaults, (in, out)."""
    library, _, last = name.rpartition(".")
    module = pytest.importorskip(library.split(".")[0], reason=f"{library} is not installed")
    if library == "torch.nn.init":
        weight = module.empty(SHAPE[::-1])
        getattr(module.nn.init, last)(weight, *([0.0] if last == "constant_" else []))
        return weight.numpy().T
    if library == "keras.initializers":
        return np.asarray(getattr(module.initializers, last)()(SHAPE))
    initializers = pytest.importorskip("jax.nn.initializers")
    return np.asarray(getattr(initializers, last)()(module.random.key(0), SHAPE))


NAMES = [
    (name, ours, remark)
    for names, ours, remark in foreign.rows("init")
    if ours.startswith("init.")
    for name in names
]


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore:.*deprecated:FutureWarning")
@pytest.mark.parametrize(("name", "ours", "remark"), NAMES, ids=[row[0] for row in NAMES])
def test_the_answer_draws_numbers_of_the_same_spread(name: str, ours: str, remark: str) -> None:
    theirs, here = drawn(name), eval(ours, {"init": nn.init, "shape": SHAPE})
    spread = float(theirs.std())
    assert here.mean() == pytest.approx(float(theirs.mean()), abs=0.02 * spread + 1e-7)
    assert here.std() == pytest.approx(spread, rel=0.02)
    if "cut off" not in remark:
        assert np.abs(here).max() == pytest.approx(float(np.abs(theirs).max()), rel=0.25)
