"""How a model trains on a batch, evaluates one and predicts one: each step a program once that pays."""

from collections.abc import Callable, Sequence
from operator import is_
from typing import TYPE_CHECKING, Any

import numpy as np

from tapegrad import nn
from tapegrad.autograd import random
from tapegrad.autograd.flags import changed_flags
from tapegrad.autograd.tensor import Tensor
from tapegrad.compiler import Compiled
from tapegrad.data.aliases import Features, PlainData
from tapegrad.models import rows
from tapegrad.models.compiled_step import Step
from tapegrad.models.in_mode import own_forward
from tapegrad.nn.buffer import Buffer
from tapegrad.nn.module import walk
from tapegrad.nn.torch_names import TorchLoss
from tapegrad.nn.weight_rules import with_penalties
from tapegrad.optim.base import Optimizer

if TYPE_CHECKING:
    from tapegrad.models.sequential import Sequential

Function = Callable[..., Any]


class Steps:
    """The steps of a model, for its layers, loss and optimizer as they are now. They do not travel with a copy of it.

    train      (x, y, weights) -> (loss, outputs); one step of the optimizer
    evaluate   (x, y, weights) -> (loss, outputs)
    predict    x -> outputs; to be called under no_grad
    """

    def __init__(self, model: "Sequential", before: "Steps | None" = None) -> None:
        """before   those that these replace"""
        network = network_of(model)
        self.made_of = parts_of(model)
        parameters = network.parameters()
        self.first = next(iter(parameters), Tensor(np.empty(0)))
        self.kind = type(self.first.data)
        emitter = model.emitter or "auto"

        def step(f: Function) -> Step:
            return Step(
                f, emitter, on_cpu=self.kind is np.ndarray, eager=model.run_eagerly,
                before=getattr(before, f.__name__) if before else None,
            )  # fmt: skip

        # Before `compile` there are none, and nothing trains.
        loss: Any = None if model.loss is None else nn.losses.get(model.loss)
        optimizer: Any = model.optimizer
        self.train = step(train_step(network, loss, optimizer))
        self.evaluate = step(evaluation_step(network, loss))
        self.predict = step(prediction(network))
        weights = sum(p.size for p in parameters)
        for made in (self.train, self.evaluate, self.predict):
            made.waiting.weights = weights

    def still_match(self, model: "Sequential", modules: list[nn.Module] | None) -> bool:
        """Whether they are still those of the model: what is inside of its parts, their guards see."""
        parts = parts_of(model, modules)
        same = len(parts) == len(self.made_of) and all(map(is_, parts, self.made_of))
        return same and type(self.first.data) is self.kind

    def stats(self) -> dict[str, dict[str, object]]:
        return {step.__name__: step.stats() for step in (self.train, self.evaluate, self.predict)}

    def state(self) -> PlainData:
        """How far the steps have come, as plain data, for a training that is saved."""
        return {step.__name__: step.state() for step in (self.train, self.evaluate, self.predict)}

    def restore(self, state: PlainData) -> None:
        for step in (self.train, self.evaluate, self.predict):
            step.restore(state[step.__name__])

    def __deepcopy__(self, memo: dict[int, object]) -> None:
        return None


def parts_of(model: "Sequential", modules: list[nn.Module] | None = None) -> tuple[object, ...]:
    rules = model.rules() if modules is None else model._rules_of(modules)
    made_with = (rule for pairs in rules.values() for rule, _ in pairs)
    return (model.layers, model.loss, model.optimizer, model.emitter, model.run_eagerly, *made_with)


def network_of(model: "Sequential") -> nn.Sequential:
    """What to call for the model's outputs: the layers alone, so that the steps do not hold the model, which holds
    them, and memory goes with the last reference. A model with a forward of its own is called itself."""
    if own_forward(model) or type(model).__call__ is not nn.Module.__call__:
        return model
    network = nn.Sequential()
    network.layers = model.layers
    return network


def loss_with(loss_of: Function, outputs: Tensor, y: Tensor, weights: Tensor | None) -> Tensor:
    """The loss of a batch; `weights` are of its rows."""
    if weights is None:
        return loss_of(outputs, y)
    if isinstance(loss_of, TorchLoss):
        return loss_of.weighted(outputs, y, weights)
    return loss_of(outputs, y, sample_weight=weights)


# ---- the steps, as written by hand. Results are detached: nobody differentiates them further. ----
def train_step(model: nn.Sequential, loss_of: Function, optimizer: Optimizer) -> Function:
    terms = model.rules()["regularizer"]
    buffers = [t for _, t in walk(model, "", set()) if isinstance(t, Buffer)]

    def train(x: Tensor, y: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
        before = [(p, p._grad) for flat in optimizer.flats for p in flat.params]
        contents = [(b, b.data, b.backend.asarray(b.data, copy=True)) for b in buffers]
        draws = random.draws()
        try:
            outputs = model(x)
            loss = loss_with(loss_of, outputs, y, weights)
            loss = with_penalties(loss, terms)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        except BaseException:  # the parameters are those of before, and so is the rest
            for p, gradient in before:
                p._grad = gradient
            for b, home, array in contents:
                b._data = home
                b.assign(Tensor(array))
            random.rewind(draws)
            raise
        return loss.detach(), outputs.detach()

    return train


def evaluation_step(model: nn.Sequential, loss_of: Function) -> Function:
    terms = model.rules()["regularizer"]

    def evaluate(x: Tensor, y: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
        # Not under no_grad: the losses look behind a sigmoid or softmax for its logits, and need the graph for it.
        outputs = model(x)
        loss = loss_with(loss_of, outputs, y, weights)
        return with_penalties(loss, terms).detach(), outputs.detach()

    return evaluate


def prediction(model: nn.Sequential) -> Function:
    def predict(x: Tensor) -> Tensor:
        return model(x)

    return predict


def program_of(model: "Sequential", what: str, batch_size: int, emitter: str) -> Compiled:
    """A step ("train", "evaluate", "predict") as `tg.jit` compiles it, for a batch of made-up rows. The model stays as
    it is. Raises ValueError where the shape of the input cannot be known, TraceError for what cannot be recorded."""
    shape = next((m.input_shape for _, m in model.named_modules() if m.input_shape is not None), None)
    if shape is None:
        raise ValueError(
            "the shape of the input is not known: build the model first, as in model.build((30,))"
        )
    outputs = model.build(shape)
    x = np.random.default_rng(0).normal(size=(batch_size, *shape)) * (not model.takes_integers)  # 0 is a row
    batch: Sequence[Features] = [rows.inputs(model, x)]
    if what != "predict":
        numbers = rows.takes_class_numbers(model.loss)
        y = np.zeros((batch_size, *(outputs[:-1] if numbers else outputs)), "int64" if numbers else "float32")
        batch = rows.examples(model, x, y)
    if what == "train":
        model.bind_optimizer()
    compiled = Compiled(getattr(Steps(model), what).f, emitter, strict=True)
    modes = [(m, m.training) for _, m in model.named_modules()]
    try:
        model.train(what == "train")
        with changed_flags(grad=what != "predict"), np.errstate(all="ignore"):
            compiled.prepare(*(None if a is None else Tensor(a) for a in batch))
    finally:
        for m, mode in modes:
            m.training = mode
    return compiled
