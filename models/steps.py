"""How a model trains on a batch, evaluates one and predicts one: each step recorded by `tg.jit` once that pays."""

import warnings
from collections.abc import Callable
from operator import is_
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from tapegrad import nn
from tapegrad.autograd import random
from tapegrad.autograd.flags import changed_flags
from tapegrad.autograd.primitive import Primitive
from tapegrad.autograd.tensor import Tensor
from tapegrad.compiler import Compiled
from tapegrad.compiler.record.scope import within_reach
from tapegrad.compiler.run.signature import Same
from tapegrad.compiler.run.variant import Variant
from tapegrad.models import rows
from tapegrad.optim.base import Optimizer

Function = Callable[..., Any]

# Calls of a kind before it is recorded. A recording takes as long as 10 to 35 train steps that run as they are (MLPs of
# 30-1 to 784-128-10 in batches of 32, one core: 12 to 24 ms; of large ones 3 to 5 steps), and saves a third to four
# fifths of each later one. So waiting for 20 at most about doubles the time of a training that ends right then, and the
# 110 full batches of the article's network take less time with it than without.
PATIENCE = 20
KINDS = 8  # programs of one step at most: each holds the buffers for its size of batch


class Step(Compiled):
    """A function of Tensors that runs as it is until it was called `PATIENCE` times with one kind of batch, and from
    then on as a program. After each further recording of that kind (something that it captured was replaced) it waits
    for twice as many calls as before; beyond `KINDS` kinds, for ever.

    state     what the function depends on besides tensors
    plain     why it runs as it is for good, or ""
    failure   what a recording came to, if it is that
    """

    def __init__(self, f: Function, emitter: str, state: "PythonState", plain: str, failure: str) -> None:
        super().__init__(f, emitter)
        self.state, self.plain, self.failure = state, plain, failure
        self.as_it_is = 0  # calls
        self.waited: dict[Any, tuple[int, int]] = {}  # kind -> (calls since it was recorded, recordings)
        self.trouble = ""  # in the recording that this call tried

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.plain:
            self.calls += 1
            self.as_it_is += 1
            return self.f(*args, **kwargs)
        self.trouble = ""
        result = super().__call__(*args, **kwargs)
        if self.trouble:  # though the function as it is did well
            self.plain = self.failure = self.trouble
            warnings.warn(
                f"{self.__name__}: this step runs without being compiled: {self.failure}. To ask for that, and have no "
                "warning: compile(…, run_eagerly=True)",
                stacklevel=4,
            )
        return result

    def record(self, kind: Any, args: Any, kwargs: Any, tensors: list[Tensor]) -> Variant | None:
        variant = None
        if self.due(kind):
            try:
                variant = super().record(kind, args, kwargs, tensors)
                self.plain = (variant and variant.eager) or ""
            except Exception as error:  # the user's own comes again when the function runs as it is
                self.trouble = " ".join(str(error).split())
            if not self.trouble and (changed := self.state.changed()):
                self.trouble = f"it changes {', '.join(changed)}, which a program would leave as it was"
        self.as_it_is += variant is None
        return variant

    def due(self, kind: Any) -> bool:
        """Count a call of this kind; whether it has come often enough to be recorded."""
        calls, recordings = self.waited.get(kind, (0, 0))
        if not recordings and len(self.variants) >= KINDS:
            return False
        due = calls >= PATIENCE << recordings
        self.waited[kind] = (0, recordings + 1) if due else (calls + 1, recordings)
        return due

    def stats(self) -> dict[str, Any]:
        found = super().stats()
        recorded = self.calls - self.as_it_is - found["recordings"]
        plain = self.plain or self.elsewhere
        return {**found, "compiled": 0 if self.elsewhere else recorded, "plain": plain or None}


class Steps:
    """The steps of a model, for its layers, loss and optimizer as they are now. They do not travel with a copy of it.

    train      (x, y, weights) -> (loss, outputs); one step of the optimizer
    evaluate   (x, y, weights) -> (loss, outputs)
    predict    x -> outputs; to be called under no_grad
    """

    def __init__(self, model: Any, before: "Steps | None" = None) -> None:
        """before   those that these replace: what could not be recorded is not tried again"""
        network = network_of(model)
        self.made_of = parts_of(model)
        self.first = next(iter(network.parameters()), Tensor(np.empty(0)))
        self.kind = type(self.first.data)
        self.state = PythonState(network, model.loss)
        emitter = model.emitter or ("numpy" if self.kind is np.ndarray else "auto")

        def step(f: Function) -> Step:
            failure = getattr(before, f.__name__).failure if before else ""
            return Step(f, emitter, self.state, "run_eagerly=True" if model.run_eagerly else failure, failure)

        self.train = step(train_step(network, model.loss, model.optimizer))
        self.evaluate = step(evaluation_step(network, model.loss))
        self.predict = step(prediction(network))

    def fit(self, model: Any) -> bool:
        """Whether they are still those of the model."""
        same = all(map(is_, parts_of(model), self.made_of)) and type(self.first.data) is self.kind
        return same and not self.state.changed()

    def stats(self) -> dict[str, dict[str, Any]]:
        return {step.__name__: step.stats() for step in (self.train, self.evaluate, self.predict)}

    def __deepcopy__(self, memo: Any) -> None:
        return None


def parts_of(model: Any) -> tuple[Any, ...]:
    return model.layers, model.loss, model.optimizer, model.emitter, model.run_eagerly


def network_of(model: Any) -> Any:
    """What to call for the model's outputs: the layers alone, so that the steps do not hold the model, which holds
    them, and memory goes with the last reference. A model with a forward of its own is called itself."""
    if type(model).forward is not nn.Sequential.forward or type(model).__call__ is not nn.Module.__call__:
        return model
    network = nn.Sequential()
    network.layers = model.layers
    return network


# ---- the steps, as written by hand. Results are detached: nobody differentiates them further. ----
def train_step(model: Any, loss_of: Function, optimizer: Any) -> Function:
    def train(x: Tensor, y: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
        outputs = model(x)
        loss = loss_of(outputs, y) if weights is None else loss_of(outputs, y, sample_weight=weights)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach(), outputs.detach()

    return train


def evaluation_step(model: Any, loss_of: Function) -> Function:
    def evaluate(x: Tensor, y: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
        # Not under no_grad: the losses look behind a sigmoid or softmax for its logits, and need the graph for it.
        outputs = model(x)
        loss = loss_of(outputs, y) if weights is None else loss_of(outputs, y, sample_weight=weights)
        return loss.detach(), outputs.detach()

    return evaluate


def prediction(model: Any) -> Function:
    def predict(x: Tensor) -> Tensor:
        return model(x)

    return predict


def program_of(model: Any, what: str, batch_size: int, emitter: str) -> Compiled:
    """A step ("train", "evaluate", "predict") as `tg.jit` compiles it, for a batch of made-up rows. The model stays as
    it is. Raises ValueError where the shape of the input cannot be known, TraceError for what cannot be recorded."""
    shape = next((m.input_shape for _, m in model.named_modules() if m.input_shape is not None), None)
    if shape is None:
        raise ValueError(
            "the shape of the input is not known: build the model first, as in model.build((30,))"
        )
    outputs = model.build(shape)
    x = np.random.default_rng(0).normal(size=(batch_size, *shape))
    batch: Any = [rows.inputs(model, x)]
    if what != "predict":
        numbers = rows.takes_class_numbers(model.loss)
        y = np.zeros((batch_size, *(outputs[:-1] if numbers else outputs)), "int64" if numbers else "float32")
        batch = rows.examples(model, x, y)
    optimizer = model.bind_optimizer() if what == "train" else None
    compiled = Compiled(getattr(Steps(model), what).f, emitter)
    weights, state, draws = model.state_dict(), optimizer and optimizer.state_dict(), random.get_state()
    modules, gradients = model.named_modules(), [(p, p.grad) for p in model.parameters()]
    modes = [m.training for _, m in modules]
    try:
        model.train(what == "train")
        with changed_flags(grad=what != "predict"), np.errstate(all="ignore"):
            compiled(*(None if a is None else Tensor(a) for a in batch))
    finally:
        model.load_state_dict(weights)
        if optimizer is not None:
            optimizer.load_state_dict(state)
        for p, gradient in gradients:
            p.grad = gradient
        for (_, m), mode in zip(modules, modes):
            m.training = mode
        random.set_state(draws)
    return compiled


# ---- what a program keeps as it was when it was recorded ----
class PythonState:
    """Python's own values that a step depends on, as they are now: the attributes of all modules inside, and what the
    functions of the user's among them, and the loss, reach by name."""

    def __init__(self, network: nn.Module, loss: Any) -> None:
        modules = [(f"{path}." if path else "", vars(m)) for path, m in network.named_modules()]
        self.attributes = [(path, now, dict(now)) for path, now in modules]
        held = [
            (p + name, value) for p, now in modules for name, value in now.items() if name not in NO_STATE
        ]
        inside = [(name, v, frozen(v)) for name, v in (*held, ("the loss", loss)) if not isinstance(v, PLAIN)]
        self.contents = [i for i in inside if not isinstance(i[2], Same)]

    def changed(self) -> list[str]:
        """The names of what is not the same any more."""
        found = [
            path + name
            for path, now, before in self.attributes
            for name, value in now.items()
            if value is not before.get(name, now)
            and name not in NO_STATE
            and not equal(value, before.get(name))
        ]
        return found + [name for name, value, before in self.contents if frozen(value) != before]


# What no step depends on, or is part of the kind of batch.
NO_STATE = {"training", "input_shape", "_output_shape", "history", "stop_training", "metrics", "_steps"}
PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic)
SMALL = 1000  # elements that are looked at one by one


def equal(a: Any, b: Any) -> bool:
    return type(a) is type(b) and isinstance(a, PLAIN) and bool(a == b)


def frozen(value: Any, depth: int = 4) -> Any:
    """Something that is equal as long as what a value holds is the same, down to a depth."""
    if isinstance(value, PLAIN):
        return type(value), value
    if depth == 0 or isinstance(value, (Tensor, nn.Module, Optimizer, Primitive, type, ModuleType)):
        return Same(value)
    if isinstance(value, (list, tuple)) and len(value) <= SMALL:
        return type(value), *(frozen(v, depth - 1) for v in value)
    if isinstance(value, dict) and len(value) <= SMALL:
        return {key: frozen(v, depth - 1) for key, v in value.items()}
    if isinstance(value, np.ndarray) and value.size <= SMALL:
        return Same(value), value.tobytes()
    if isinstance(value, MethodType):
        return Same(value.__func__), frozen(value.__self__, depth - 1)
    if isinstance(value, FunctionType):
        own = value.__module__.startswith("tapegrad.")
        return Same(value) if own else (Same(value), frozen(within_reach(value, ()), depth - 1))
    return Same(value), frozen(getattr(value, "__dict__", None), depth - 1)
