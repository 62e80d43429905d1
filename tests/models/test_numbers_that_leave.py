"""What metrics, models, loaders and optimizers take out of tensors: whoever records hears of it, so that `what_if` and
`tg.jit` refuse what they cannot follow."""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tapegrad as tg
from tapegrad import nn, optim
from tapegrad.data import metrics
from tapegrad.models import Sequential

Measure = Callable[[tg.Tensor], Any]
ROOT = Path(__file__).resolve().parents[2]
TARGETS = tg.tensor([[1.0], [0.0], [1.0], [0.0]])


class KeptAsKeras:
    """A metric as Keras has them."""

    name = "kept"

    def reset_state(self) -> None:
        self.total = 0.0

    def update_state(self, y_true: tg.Tensor, y_pred: tg.Tensor) -> None:
        self.total += abs(y_true - y_pred).sum().item()

    def result(self) -> float:
        return self.total


def largest_error(y_true: tg.Tensor, y_pred: tg.Tensor) -> tg.Tensor:
    return abs(y_true - y_pred).max()


# Metrics of class numbers have no single column, and take the rows as numbers of classes.
NEED_COLUMNS = {"categorical_accuracy", "sparse_categorical_accuracy", "top_k_accuracy"}
NAMES = [name for name in {**metrics.MEANS, **metrics.ROOTS, **metrics.WHOLES, **metrics.OBJECTS}]
METRICS: dict[str, Any] = {
    **{name: name for name in NAMES if name not in NEED_COLUMNS},
    "top_k_accuracy": metrics.TopKAccuracy(1), "categorical_accuracy": "categorical_accuracy",
    "sparse_categorical_accuracy": "sparse_categorical_accuracy", "huber": "huber", "function": largest_error,
    "keras": KeptAsKeras(), "loss": nn.functional.mse_loss,
}  # fmt: skip


def measured(name: str, way: str) -> Measure:
    """What measures a column of probabilities by a metric."""
    metric = metrics.get(METRICS[name])
    of_columns = name in NEED_COLUMNS

    def measure(p: tg.Tensor) -> Any:
        outputs = tg.concat((1.0 - p, p), axis=1) if of_columns else p
        targets = TARGETS[:, 0].astype("int64") if of_columns else TARGETS
        if name == "categorical_accuracy":
            targets = tg.one_hot(targets, 2)
        if way == "call":
            return metric(outputs, targets)
        metric.reset()
        metric.update(outputs, targets)
        return metric.result()

    return measure


def model() -> Sequential:
    made = Sequential([nn.Dense(1, in_features=1, kernel_initializer="ones")])
    made.compile(optim.SGD(0.1), "mse", metrics=["mae", "accuracy"])
    return made


def of_a_model_with(p: tg.Tensor) -> Sequential:
    made = model()
    next(iter(made.parameters())).assign(p[:1])
    return made


def with_momentum(p: tg.Tensor) -> Any:
    weight = tg.Parameter(tg.ones((4, 1)))
    optimizer = optim.SGD([weight], 0.1, momentum=0.9)
    weight.grad = tg.ones((4, 1))
    optimizer.step()
    state = optimizer.state_dict()
    (name,) = (name for name, value in state.items() if value.shape == (4, 1))
    optimizer.load_state_dict(state | {name: p})
    return weight


LEAVE: dict[str, Measure] = {
    **{f"{name}, {way}": measured(name, way) for name in METRICS for way in ("call", "update")},
    "evaluate": lambda p: model().evaluate(p, TARGETS, verbose=0),
    "evaluate changed weights": lambda p: of_a_model_with(p).evaluate(TARGETS, TARGETS, verbose=0),
    "test_on_batch": lambda p: model().test_on_batch(p, TARGETS),
    "test_step": lambda p: of_a_model_with(p).test_step((TARGETS, TARGETS)),
    "train_on_batch": lambda p: model().train_on_batch(p, TARGETS),
    "predict": lambda p: model().predict(p),
    "page of a model": lambda p: of_a_model_with(p)._repr_html_(),
    "DataLoader": lambda p: list(tg.data.DataLoader(p, batch_size=2)),
    "DataLoader of samples": lambda p: list(tg.data.DataLoader([p[0], p[1]], batch_size=2)),
    "DataLoader of any samples": lambda p: list(tg.data.DataLoader((p[i] for i in (0, 1)), batch_size=2)),
    "Batches": lambda p: list(tg.data.Batches(p, batch_size=2)),
    "WeightedSampler": lambda p: tg.data.WeightedSampler(p[:, 0]),
    "BalancedSampler": lambda p: tg.data.BalancedSampler(p[:, 0]),
    "SubsetSampler": lambda p: tg.data.SubsetSampler((p[:, 0] * 10.0).astype("int64")),
    "stratify": lambda p: tg.data.train_test_indices(4, 0.5, stratify=(p > 0.65)[:, 0]),
    "Plateau": lambda p: optim.Plateau(optim.SGD([tg.Parameter(tg.ones(1))], 0.1)).update(p[0, 0]),
    "state of an optimizer": with_momentum,
}  # fmt: skip


@pytest.mark.parametrize("name", LEAVE)
@pytest.mark.filterwarnings("ignore")
def test_numbers_that_leave_are_heard_of(name: str) -> None:
    """Whatever is made of the numbers, the program may go another way where they are others."""
    x = tg.tensor([[0.9], [0.2], [0.6], [0.7]], requires_grad=True)
    with tg.keep_lines():
        y = (x * x).sum()
        LEAVE[name](x.detach() * 1.0)
    tape = tg.tape(y, {"x": x})
    with pytest.raises(RuntimeError, match="run the program itself"):
        tape.what_if({"x": [[0.1], [0.8], [0.3], [0.2]]})


@pytest.mark.parametrize("name", [name for name in LEAVE if name.endswith(("call", "update"))])
def test_a_compiled_step_refuses_a_metric(name: str) -> None:
    """It would give the numbers of the recording for good."""
    step = tg.jit(lambda p: (LEAVE[name](p), p * 2.0)[1], strict=True)
    with pytest.raises(RuntimeError, match="a metric needs the number"):
        step(tg.tensor([[0.9], [0.2], [0.6], [0.7]]))


@pytest.mark.parametrize("name", LEAVE)
@pytest.mark.filterwarnings("ignore")
def test_no_program_is_made_of_numbers_that_leave(name: str) -> None:
    step = tg.jit(lambda p: (LEAVE[name](p), p * 2.0)[1])
    for factor in (1.0, 0.5, 0.25):
        step(tg.tensor([[0.9], [0.2], [0.6], [0.7]]) * factor)
    assert step.stats()["compiled"] == 0


# Functions of these rooms that take the raw array of a tensor, say nothing, and may.
QUIET = {
    "data/installed.py: _of_sklearn": "no tensor", "data/installed.py: _of_statsmodels": "no tensor",
    "data/metric_base.py: Custom.add": "of raw arrays that `update` has taken",
    "data/metric_base.py: OfLoss.add": "of raw arrays that `update` has taken",
    "models/linear_solvers/glm.py: centred_where_full": "the numbers of sparse rows",
    "models/network.py: Network._placed": "rows that `as_array` has taken",
    "models/rows.py: inputs": "rows that `as_array` has taken", "models/rows.py: targets": "the same",
    "models/steps.py: train_step.train": "buffers, which are put back", "models/steps.py: Steps.still_match": "a type",
    "models/steps.py: Steps.__init__": "a type", "models/training.py: Training.__init__": "a type",
    "nn/dense.py: Dense.forward": "a shape",
    "nn/module.py: Module.to": "the same numbers at another place",
}  # fmt: skip


def raw_arrays_taken(path: Path) -> set[str]:
    """The functions of a file that read the raw array of a tensor without telling a recorder."""
    found = set()

    def visit(node: ast.AST, names: tuple[str, ...]) -> None:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names = (*names, node.name)
        taken = isinstance(node, ast.Attribute) and node.attr in ("data", "_data")
        if taken and isinstance(node.ctx, ast.Load) and ast.unparse(node.value) not in ("self", "tapegrad"):
            found.add(".".join(names[:2]))
        for child in ast.iter_child_nodes(node):
            visit(child, names)

    tree = ast.parse(path.read_text(encoding="utf-8"))
    visit(tree, ())
    told = {
        ".".join(path)
        for node in tree.body
        for path, function in [
            ((node.name,), node) if isinstance(node, ast.FunctionDef) else ((), node),
            *(((node.name, f.name), f) for f in getattr(node, "body", ()) if isinstance(node, ast.ClassDef)
              and isinstance(f, ast.FunctionDef)),
        ]
        if path and "._read(" in ast.unparse(function)
    }  # fmt: skip
    return {f"{path.relative_to(ROOT).as_posix()}: {name}" for name in found - told}


def test_who_takes_a_raw_array_tells_a_recorder() -> None:
    """Optimizers compute on Tensors while one listens. A new function calls `t._read`, or says above why not."""
    paths = [path for room in ("data", "models", "nn") for path in sorted((ROOT / room).rglob("*.py"))]
    assert set().union(*map(raw_arrays_taken, paths)) == set(QUIET)
