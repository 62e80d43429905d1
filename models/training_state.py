"""How a model is trained, as plain data for its file, and back: optimizer, loss, metrics, callbacks."""

from typing import TYPE_CHECKING, Any

from tapegrad import optim
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends.aliases import Function
from tapegrad.data import metrics as metric_table
from tapegrad.data.aliases import PlainData
from tapegrad.data.metric_base import Custom, Metric, OfKeras, OfLoss, Whole
from tapegrad.models.aliases import Model
from tapegrad.models.description import Describer, Maker
from tapegrad.models.registry import find, registered_name
from tapegrad.nn import losses
from tapegrad.nn.lookup import NAMES
from tapegrad.optim.base import Optimizer

if TYPE_CHECKING:
    pass

LEAVE_OUT = "or leave the training out of the file: save(path, training=False)"


# ---- the optimizer: its parameters are named by their paths in the model, whatever it calls them ----
def canonical_names(model: Model) -> dict[str, str]:
    """What the optimizer calls each parameter -> its path in the model, of several groups "<group>.<path>"."""
    paths = {id(p): path for path, p in model.named_parameters()}
    groups = model.optimizer.groups
    found = {}
    for number, group in enumerate(groups):
        for name, p in zip(group.names, group.params):
            if id(p) not in paths:
                raise TypeError(
                    f"save: the optimizer trains {name!r}, which is no parameter of this model and would be lost: save "
                    f"it by tg.save, {LEAVE_OUT}"
                )
            found[name] = f"{number}.{paths[id(p)]}" if len(groups) > 1 else paths[id(p)]
    return found


def described_optimizer(model: Model) -> PlainData:
    optimizer = model.optimizer
    kind = type(optimizer)
    name = kind.__name__ if optim.BY_NAME.get(kind.__name__.lower()) is kind else registered_name(kind)
    if name is None:
        raise TypeError(
            f"save: the optimizer is a {kind.__name__}, which is not one of tapegrad's: decorate it with "
            f"@tapegrad.models.register, {LEAVE_OUT}"
        )
    options = {option: plain(kind, option, value) for option, value in optimizer.config().items()}
    described: PlainData = {"class": name, "options": options}
    if optimizer.groups:
        names = list(canonical_names(model).values())
        described["groups"] = []
        for number, group in enumerate(optimizer.groups):
            own, names = names[: len(group.names)], names[len(group.names) :]
            paths = [n.removeprefix(f"{number}.") if len(optimizer.groups) > 1 else n for n in own]
            given = {option: plain(kind, option, value) for option, value in group.options().items()}
            differing = {option: value for option, value in given.items() if value != options[option]}
            described["groups"].append({"params": paths, "options": differing})
    return described


def plain(kind: type, option: str, value: object) -> object:
    """An option's value, or its schedule, as plain data."""
    if isinstance(value, optim.schedules.Schedule):
        return value.config()
    if callable(value):
        raise TypeError(
            f"save: {option} of {kind.__name__} is a function of the step of your own, and a file stores names, never "
            f"code: use one of tapegrad.optim.schedules, {LEAVE_OUT}"
        )
    return value


def optimizer_state(model: Model) -> dict[str, Tensor]:
    """The state of an optimizer under the names of the model."""
    optimizer = model.optimizer
    names = canonical_names(model)
    renamed = {
        f"{name}.{slot}": f"{names[name]}.{slot}"
        for group in optimizer.groups
        for name in group.names
        for slot in group.flats[0].state
    }
    return {renamed.get(name, name): value for name, value in optimizer.state_dict().items()}


def bind(model: Model, groups: list[PlainData], state: dict[str, Tensor]) -> None:
    """Give the optimizer its parameters and its state."""
    parameters, optimizer = dict(model.named_parameters()), model.optimizer
    bound: list[PlainData] = [
        {"params": {path: parameters[path] for path in group["params"]}, **group["options"]}
        for group in groups
    ]
    optimizer.bind(bound if len(bound) > 1 else bound[0]["params"])
    for group in optimizer.groups:
        first = f"{group.names[0]}."
        # An option that was switched off again leaves its part of the state.
        slots = [name.removeprefix(first) for name in state if name.startswith(first)]
        if missing := {slot: 0.0 for slot in slots if slot not in group.flats[0].state and "." not in slot}:
            optimizer.add_slots(group, missing, group.options())
    optimizer.load_state_dict(state)


# ---- loss and metrics ----
def described_loss(loss: Function, describer: Describer) -> object:
    if (function := losses.our_function(loss)) is not None and function is loss:
        return NAMES[function]
    return told(loss, "the loss", describer)


def told(value: object, where: str, describer: Describer) -> object:
    try:
        return describer.value(value, where)
    except TypeError as error:
        raise TypeError(f"{error}; {LEAVE_OUT}") from None


def made_loss(described: object, maker: Maker) -> Any:
    return described if isinstance(described, str) else maker.value(described)


def described_metric(metric: Metric, describer: Describer) -> object:
    """A name, or {"metric": name, …} with options, or {"value": …} for what a user brought."""
    where = f"the metric {metric.name!r}"
    if metric.spec is not None:
        spec = metric.spec | ({} if metric.spec["metric"] == metric.name else {"name": metric.name})
        return spec["metric"] if len(spec) == 1 else spec
    given: Any = metric
    if isinstance(metric, Custom):
        given = metric.function
    elif isinstance(metric, OfLoss):
        given = metric.loss
    elif isinstance(metric, OfKeras):
        given = metric.metric
    elif isinstance(metric, Whole):
        given = metric.given
    return {"value": told(given, where, describer), "name": metric.name}


def made_metric(described: Any, maker: Maker) -> Any:
    if isinstance(described, str):
        return described
    if "metric" in described:
        options = {name: value for name, value in described.items() if name != "metric"}
        return metric_table.get(described["metric"], **options)
    metric = metric_table.get(maker.value(described["value"]))
    metric.name = described["name"]
    return metric


# ---- all of it ----
def described_training(model: Model, describer: Describer) -> PlainData | None:
    """The compile settings, or None if the model has none."""
    if model.optimizer is None:
        return None
    return {
        "optimizer": described_optimizer(model),
        "loss": described_loss(model.loss, describer),
        "metrics": [described_metric(metric, describer) for metric in model.metrics],
        "emitter": model.emitter,
        "run_eagerly": model.run_eagerly,
        "steps": model.steps().state(),
    }


def made_optimizer(described: PlainData, maker: Maker) -> Optimizer:
    table = {kind.__name__: kind for kind in optim.BY_NAME.values()}
    return find("optimizer", described["class"], table, maker.error)(**described["options"])


def described_callbacks(seen: list[PlainData], describer: Describer) -> list[PlainData]:
    """What callbacks have seen, as `models.resuming` tells it."""
    return [
        {name: describer.value(value, "the state of a callback") for name, value in kept.items()}
        for kept in seen
    ]
