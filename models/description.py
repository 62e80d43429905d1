"""Layers, losses and their options as plain data for a model's file, and back.

A value is itself where JSON has it. Others are {"$": kind, …}: a tensor ("tensor", kept in the file under its name), a
function or class that a user registered ("registered"), a partial ("partial"), an object of a registered class
("object"), a loss ("loss"), a regularizer or constraint ("rule"), an initializer without a name ("initializer"), a
layer ("layer"). A layer is {"class": …, "config": {…}}, one that was there before {"shared": its number}, Sequential
{"class": "Sequential", "layers": […]}, or "models.Sequential" for a model among the layers of another.
Residual and Parallel have "config" and "layers". Regularizers and constraints that were set later are in "rules".
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tapegrad import nn
from tapegrad.autograd.tensor import Tensor
from tapegrad.data.aliases import PlainData
from tapegrad.models.registry import LAYERS, LOSSES, REGISTERED, find, registered_name
from tapegrad.models.sequential import Sequential
from tapegrad.nn import losses
from tapegrad.nn.lookup import NAMES
from tapegrad.nn.weight_rules import RULES, WeightRule

REMEDY = "decorate it with @tapegrad.models.register, here and where it is loaded"

CONTAINERS: dict[type, str] = {nn.Sequential: "Sequential", Sequential: "models.Sequential"}


class Describer:
    """Turns a model's parts into plain data; `tensors` gets the arrays among them."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor | np.ndarray] = {}
        self.numbers: dict[int, int] = {}  # id of a layer -> its number, in the order of description

    def layers(self, layers: list[nn.Module], where: str = "") -> list[PlainData]:
        return [self.layer(layer, f"layer {number}{where}") for number, layer in enumerate(layers)]

    def layer(self, layer: nn.Module, where: str) -> PlainData:
        if id(layer) in self.numbers:
            return {"shared": self.numbers[id(layer)]}
        self.numbers[id(layer)] = len(self.numbers)
        kind = type(layer)
        described: PlainData
        if (name := CONTAINERS.get(kind)) is not None:
            inside: Any = layer
            described = {"class": name, "layers": self.layers(inside.layers, f" of {where}")}
        else:
            described = {"class": self.class_name(layer, where), "config": self.config(layer, where)}
            if isinstance(layer, nn.Sequential) and LAYERS.get(kind.__name__) is kind:  # Residual, Parallel
                described["layers"] = self.layers(layer.layers, f" of {where}")
        if layer._name is not None:
            described["name"] = layer._name
        later = {
            name: self.value(given, f"{name} of {where}, {kind.__name__},")
            for name, given in vars(layer).items()
            if name.endswith(("_regularizer", "_constraint")) and given is not None
            and name not in described.get("config", ())
        }  # fmt: skip
        if later:
            described["rules"] = later
        for name, value in vars(layer).items():
            if callable(value) and name in ("forward", "build", "infer_shape"):
                raise TypeError(
                    f"save: {where}, {kind.__name__}, has a {name} of its own: make it a class, and {REMEDY}"
                )
        return described

    def class_name(self, layer: nn.Module, where: str) -> str:
        kind = type(layer)
        if LAYERS.get(kind.__name__) is kind:
            return kind.__name__
        name = registered_name(kind)
        if name is None:
            raise TypeError(
                f"save: {where} is a {kind.__name__}, which is not one of tapegrad.nn's layers: a file stores names, "
                f"never code: {REMEDY}; or save the weights with tg.save(path, model.state_dict())"
            )
        return name

    def config(self, layer: nn.Module, where: str) -> PlainData:
        try:
            config = layer.config()
        except AttributeError as error:
            raise TypeError(f"save: {where}: {error}") from None
        # Initializers have done their work: of one that a file cannot hold, it says that there was one.
        return {
            name: {"$": "initializer"}
            if name.endswith("_initializer") and callable(value) and not is_named_partial(value)
            else self.value(value, f"{name} of {where}, {type(layer).__name__},")
            for name, value in config.items()
        }

    def value(self, value: object, where: str) -> object:
        """A value as plain data; TypeError for what a file cannot hold."""
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, np.generic):
            return value.item()
        if isinstance(value, (list, tuple)):
            return [self.value(part, where) for part in value]
        if isinstance(value, dict) and "$" not in value and all(isinstance(name, str) for name in value):
            return {name: self.value(part, where) for name, part in value.items()}
        if isinstance(value, (Tensor, np.ndarray)):
            name = f"values.{len(self.tensors)}"
            self.tensors[name] = value
            return {"$": "tensor", "name": name}
        if isinstance(value, nn.Module):
            return {"$": "layer", **self.layer(value, where)}
        if isinstance(value, losses.Loss) and LOSSES.get(type(value).__name__) is type(value):
            return {"$": "loss", "class": type(value).__name__, "options": self.value(value.options, where)}
        if isinstance(value, WeightRule) and RULES.get(type(value).__name__) is type(value):
            return {"$": "rule", "class": type(value).__name__, "config": self.value(value.config(), where)}
        if isinstance(value, partial) and not value.args:
            keywords = self.value(value.keywords, where)
            return {"$": "partial", "function": self.value(value.func, where), "keywords": keywords}
        return self.code(value, where)

    def code(self, value: object, where: str) -> object:
        """A function or an object of a class of the user's."""
        try:
            if value in NAMES:
                return NAMES[value]
        except TypeError:  # not hashable
            pass
        if (name := registered_name(value)) is not None:
            return {"$": "registered", "name": name}
        if (name := registered_name(type(value))) is not None:
            config = getattr(value, "config", None) or getattr(value, "get_config", None)
            if config is None:
                raise TypeError(f"save: {where} is a {name}, which needs a method config() for its arguments")
            return {"$": "object", "class": name, "config": self.value(config(), where)}
        what = f"the function {getattr(value, '__name__', value)!r}" if callable(value) else repr(value)
        raise TypeError(
            f"save: {where} is {what}: a file stores names, never code: only what has a name in tapegrad can be saved, "
            f"or {REMEDY}"
        )


def is_named_partial(value: object) -> bool:
    """Whether it is a function that has a name, with options: partial(random_normal, stddev=0.01)."""
    return isinstance(value, partial) and not value.args and value.func in NAMES


def unnamed_initializer(shape: tuple[int, ...]) -> np.ndarray:
    """Stands in a loaded layer for an initializer that the file could not hold: Keras's default, a matrix or zeros."""
    return nn.init.glorot_uniform(shape) if len(shape) > 1 else nn.init.zeros(shape)


class Maker:
    """Makes the parts of a description again. error(message) is what is raised for an unknown name."""

    def __init__(self, tensors: dict[str, Tensor], error: Callable[[str], Exception]) -> None:
        self.tensors, self.error = tensors, error
        self.made: list[nn.Module] = []

    def layers(self, described: list[PlainData]) -> list[nn.Module]:
        return [self.layer(layer) for layer in described]

    def layer(self, described: PlainData) -> nn.Module:
        if "shared" in described:
            return self.made[described["shared"]]
        at, name = len(self.made), described["class"]
        self.made.append(nn.Sequential())  # its number is that of its description, before those inside
        kind = find("layer", name, {**LAYERS, "models.Sequential": Sequential}, self.error)
        if "layers" in described:
            nested: Any = kind() if kind in CONTAINERS else kind(**self.value(described["config"]))
            self.made[at] = nested
            for part in self.layers(described["layers"]):
                nested.append(part)
            layer: nn.Module = nested
        else:
            layer = kind(**self.value(described["config"]))
        self.made[at] = layer
        if "name" in described:
            layer._name = described["name"]
        for name, given in described.get("rules", {}).items():
            setattr(layer, name, self.value(given))
        return layer

    def value(self, value: object) -> Any:
        if isinstance(value, list):
            return [self.value(part) for part in value]
        if not isinstance(value, dict):
            return value
        if "$" not in value:
            return {name: self.value(part) for name, part in value.items()}
        kind = value["$"]
        if kind == "tensor":
            return self.tensors[value["name"]]
        if kind == "layer":
            return self.layer({name: part for name, part in value.items() if name != "$"})
        if kind == "loss":
            return find("loss", value["class"], LOSSES, self.error)(**self.value(value["options"]))
        if kind == "rule":
            return find("regularizer or constraint", value["class"], RULES, self.error)(
                **self.value(value["config"])
            )
        if kind == "partial":
            function = self.value(value["function"])
            if isinstance(function, str):
                function = find("function", function, {name: f for f, name in NAMES.items()}, self.error)
            return partial(function, **self.value(value["keywords"]))
        if kind == "initializer":
            return unnamed_initializer
        if kind == "registered":
            return find("function", value["name"], REGISTERED, self.error)
        return find("class", value["class"], REGISTERED, self.error)(**self.value(value["config"]))
