"""Configurations of every kind, and containers of the standard library."""

import argparse
import collections
import configparser
import dataclasses
import enum
import json
import types
from typing import Any, NamedTuple

import tapegrad as tg
from surroundings import Table, change, swapped

nn, F = tg.nn, tg.nn.functional
CASES = Table()
compiled, either, eager = CASES.compiled, CASES.either, CASES.eager


# ---- objects that hold options ----
@compiled
def an_argparse_namespace(J: Any) -> Any:
    args = argparse.Namespace(scale=2.0, verbose=False)
    return swapped(J, lambda x: x * args.scale, lambda v: setattr(args, "scale", v))


@compiled
def a_namespace_by_vars(J: Any) -> Any:
    args = argparse.Namespace(scale=2.0)
    return swapped(J, lambda x: x * vars(args)["scale"], lambda v: setattr(args, "scale", v))


@compiled
def a_frozen_dataclass_that_is_replaced(J: Any) -> Any:
    @dataclasses.dataclass(frozen=True)
    class C:
        scale: float = 2.0

    c = C()

    def set_to(v: float) -> None:
        nonlocal c
        c = dataclasses.replace(c, scale=v)

    return swapped(J, lambda x: x * c.scale, set_to)


@compiled
def a_frozen_dataclass_that_is_changed_all_the_same(J: Any) -> Any:
    @dataclasses.dataclass(frozen=True)
    class C:
        scale: float = 2.0

    c = C()
    return swapped(J, lambda x: x * c.scale, lambda v: object.__setattr__(c, "scale", v))


@compiled
def a_dataclass_by_asdict(J: Any) -> Any:
    @dataclasses.dataclass
    class C:
        scale: float = 2.0
        shift: float = 1.0

    c = C()
    f = lambda x: x * dataclasses.asdict(c)["scale"]
    return swapped(J, f, lambda v: setattr(c, "scale", v))


class Options(NamedTuple):
    scale: float
    shift: float = 1.0


@compiled
def a_named_tuple(J: Any) -> Any:
    o = Options(2.0)

    def set_to(v: float) -> None:
        nonlocal o
        o = o._replace(scale=v)

    return swapped(J, lambda x: x * o.scale + o.shift, set_to)


class Mode(enum.Enum):
    HALF = 0.5
    DOUBLE = 2.0


@compiled
def a_member_of_an_enum(J: Any) -> Any:
    state = types.SimpleNamespace(mode=Mode.DOUBLE)
    f = lambda x: x * state.mode.value if state.mode is not Mode.HALF else x / 2
    return swapped(J, f, lambda v: setattr(state, "mode", v), (Mode.DOUBLE, Mode.HALF, Mode.DOUBLE))


class Dotted:
    """As pydantic's models and OmegaConf do it: fields live in a private dict, and `__getattr__` finds them."""

    def __init__(self, **fields: Any) -> None:
        object.__setattr__(self, "_fields", fields)

    def __getattr__(self, name: str) -> Any:
        try:
            return self._fields[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self._fields[name] = value


@compiled
def fields_found_by_getattr(J: Any) -> Any:
    c = Dotted(model=Dotted(scale=2.0))
    return swapped(J, lambda x: x * c.model.scale, lambda v: setattr(c.model, "scale", v))


@compiled
def a_field_that_is_deleted(J: Any) -> Any:
    c = Dotted(scale=2.0)

    def set_to(v: Any) -> None:
        c._fields.clear() if v is None else setattr(c, "scale", v)

    return swapped(J, lambda x: x * getattr(c, "scale", 7.0), set_to, (2.0, None, 2.0))


class Watched:
    scale = 2.0

    def __getattribute__(self, name: str) -> Any:
        value = object.__getattribute__(self, name)
        return value * 10 if name == "scale" and object.__getattribute__(self, "loud") else value

    loud = False


@compiled
def attributes_by_getattribute(J: Any) -> Any:
    w = Watched()
    return swapped(J, lambda x: x * w.scale, lambda v: setattr(w, "loud", v), (False, True, False))


@either("Config", "config", "section")
def a_config_parser(J: Any) -> Any:
    config = configparser.ConfigParser()
    config["train"] = {"scale": "2"}
    f = lambda x: x * config["train"].getfloat("scale")
    return swapped(J, f, lambda v: config.set("train", "scale", str(v)))


@either("chain", "ChainMap", "maps")
def a_chain_of_maps(J: Any) -> Any:
    defaults, own = {"scale": 2.0}, {}
    chain = collections.ChainMap(own, defaults)
    set_to = lambda v: own.clear() if v is None else own.update(scale=v)
    return swapped(J, lambda x: x * chain["scale"], set_to, (None, 5.0, None))


@compiled
def a_default_dict_that_is_filled(J: Any) -> Any:
    scales: Any = collections.defaultdict(lambda: 2.0)
    scales["a"]
    return change(J, lambda x: x * scales["a"], lambda: scales.__setitem__("a", 5.0))


class Missing(dict[str, float]):
    def __missing__(self, key: str) -> float:
        self[key] = 7.0
        return 7.0


@compiled
def a_key_that_its_dict_would_make(J: Any) -> Any:
    """The check looks at it where another case had it, and must not have it made."""

    def one(scales: Any) -> Any:
        f = J(lambda x: x * (scales["b"] if "b" in scales else 10.0))  # noqa: SIM401
        changes = (dict, lambda: scales.update(b=4.0), lambda: scales.pop("b"), lambda: scales.update(z=1.0))
        for act in changes:
            act()
            for _ in range(4):
                yield f(tg.tensor([1.0, 2.0]))
            yield len(scales)

    yield from one(collections.defaultdict(lambda: 3.0, a=1.0))
    yield from one(Missing(a=1.0))


@compiled
def a_get_of_a_missing_key(J: Any) -> Any:
    options: dict[str, float] = {}
    f = lambda x: x * options.get("scale", 2.0)
    return change(J, f, lambda: options.update(scale=5.0), back=options.clear)


@compiled
def keys_in_another_order(J: Any) -> Any:
    scales = {"a": 2.0, "b": 3.0}

    def f(x: Any) -> Any:
        for k in scales:
            x = x * scales[k] + 1.0
        return x

    def act() -> None:
        scales["a"] = scales.pop("a")

    return change(J, f, act)


@compiled
def an_ordered_dict_moved_to_the_end(J: Any) -> Any:
    scales = collections.OrderedDict(a=2.0, b=3.0)

    def f(x: Any) -> Any:
        for k, v in scales.items():
            x = x * v + (1.0 if k == "a" else 0.0)
        return x

    return change(J, f, lambda: scales.move_to_end("a"), back=lambda: scales.move_to_end("b"))


@compiled
def a_list_that_is_sorted(J: Any) -> Any:
    numbers = [3.0, 1.0, 2.0]
    return change(J, lambda x: x * numbers[0], numbers.sort)


@compiled
def a_list_of_lists_of_lists(J: Any) -> Any:
    deep = [[[[1.0], [2.0]]], [[[3.0], [4.0]]]]
    f = lambda x: x * sum(v for a in deep for b in a for c in b for v in c)
    return change(J, f, lambda: deep[1][0][0].__setitem__(0, 30.0))


@compiled
def a_set_of_names_of_frozen_parts(J: Any) -> Any:
    frozen = {"b"}
    scales = {"a": 2.0, "b": 3.0}
    f = lambda x: x * sum(v for k, v in scales.items() if k not in frozen)
    return change(J, f, lambda: frozen.clear(), back=lambda: frozen.add("b"))


@compiled
def a_json_string(J: Any) -> Any:
    state = types.SimpleNamespace(text='{"scale": 2.0}')
    f = lambda x: x * json.loads(state.text)["scale"]
    return swapped(J, f, lambda v: setattr(state, "text", json.dumps({"scale": v})))


@compiled
def a_format_of_an_object(J: Any) -> Any:
    state = types.SimpleNamespace(k=2)
    text = "{.k}"
    return swapped(J, lambda x: x * float(text.format(state)), lambda v: setattr(state, "k", v), (2, 3, 2))
