"""Whether a model can be trained or called, and what is known of its layers."""

from typing import TYPE_CHECKING, Any

from tapegrad import nn
from tapegrad.backends.aliases import Function
from tapegrad.data.aliases import Features
from tapegrad.data.arrays import shape_of
from tapegrad.data.metric_base import Metric
from tapegrad.models.aliases import Model
from tapegrad.models.in_mode import own_forward
from tapegrad.nn.lookup import NAMES
from tapegrad.optim.base import Optimizer

if TYPE_CHECKING:
    from tapegrad.models.sequential import Sequential


def check_compiled(model: "Sequential") -> Optimizer:
    optimizer: Optimizer | None = model.optimizer
    if optimizer is None:
        raise RuntimeError(
            "this model has not been compiled: call compile(optimizer=…, loss=…, metrics=…) first"
        )
    return optimizer


def as_optimizer(what: str, optimizer: object) -> object:
    """What is set as a model's optimizer, checked."""
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"{what}: expected an Optimizer, got {optimizer!r}: to set it by name, write "
            f"model.compile(optimizer={optimizer!r}, loss=model.loss)"
        )
    return optimizer


def as_loss(what: str, loss: object) -> object:
    """What is set as a model's loss, a name replaced by its function, as `compile` does."""
    return nn.losses.get(loss) if isinstance(loss, str) else loss


def as_metrics(what: str, metrics: Any) -> Any:
    """What is set as a model's metrics, checked."""
    if isinstance(metrics, (list, tuple)) and all(isinstance(metric, Metric) for metric in metrics):
        return metrics
    raise TypeError(
        f"{what}: expected a list of Metric objects, got {metrics!r}: to set them by name, write "
        f"model.compile(model.optimizer, model.loss, metrics={metrics!r})"
    )


def build_for(model: Model, x: Features) -> None:
    """Have the layers make their weights for the shape of these rows, if they have not yet."""
    if not model.layers:
        raise RuntimeError(
            "this model has no layers: add some, as in model.add(Dense(1, activation='sigmoid'))"
        )
    if x is None:
        raise ValueError("x is missing: give the rows, an array of shape (n, features)")
    if not all(module.built for _, module in model.named_modules()):
        shape = shape_of("x", x)
        if len(shape) < 2:
            raise ValueError(f"x: expected one row per sample, (n, features), got shape {shape}")
        model.build(tuple(int(n) for n in shape[1:]))


def ready_to_train(model: Model, x: Features) -> None:
    check_compiled(model)
    build_for(model, x)
    model.bind_optimizer()


def frozen_in_fit(model: Model) -> set[int]:
    """The ids of parameters that were frozen when the model was saved that is to go on with its fit, and are so still.
    The optimizer has those that a callback froze in the midst of the fit."""
    paths = () if model.interrupted is None else model.interrupted["frozen"]
    return {id(p) for path, p in model.named_parameters() if path in paths and not p.requires_grad}


def take_up_changes(model: Model) -> None:
    """What callbacks changed in a model that is in fit: a new optimizer gets its parameters. RuntimeError for weights
    that nothing would train."""
    optimizer = check_compiled(model)
    if not optimizer.groups:
        model.bind_optimizer()
        return
    # A train_step of the user's own may have further optimizers.
    optimizers = [value for value in vars(model).values() if isinstance(value, Optimizer)]
    trained = {id(p) for one in optimizers for group in one.groups for p in group.params}
    for name, p in model.named_parameters():
        if p.requires_grad and id(p) not in trained:
            raise RuntimeError(
                f"fit: the optimizer does not train {name!r}, which a callback added, replaced or unfroze: compile the "
                "model there as well, with a new optimizer: self.model.compile(optimizer=…, loss=self.model.loss)"
            )


def last_activation(model: nn.Sequential) -> str | None:
    """The name of the last layer's activation, "linear" for none; None where it is not known."""
    if own_forward(model) or not model.layers:
        return None
    layers = [layer for layer in model.layers if not isinstance(layer, (nn.Dropout, nn.Flatten))]
    last = layers[-1] if layers else None
    if isinstance(last, nn.Sequential):
        return last_activation(last)
    if isinstance(last, (nn.Dense, nn.Activation)):
        return "linear" if last.activation is None else name_of(last.activation)
    return name_of(getattr(type(last), "function", None))


def name_of(function: Function | None) -> str | None:
    try:
        return None if function is None else NAMES.get(function)
    except TypeError:  # not hashable
        return None
