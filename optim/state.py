"""Save and restore an optimizer's state by name."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tapegrad.autograd.aliases import Array, TensorLike
from tapegrad.autograd.arguments import state_given
from tapegrad.autograd.creation import asarray
from tapegrad.autograd.dtypes import float64, name_of
from tapegrad.autograd.filled import full
from tapegrad.autograd.tensor import Tensor
from tapegrad.autograd.whole import uninterrupted
from tapegrad.backends import backend_of
from tapegrad.optim.flat import FlatGroup, write
from tapegrad.optim.group import Group
from tapegrad.optim.options import Choice, at_least_0

if TYPE_CHECKING:
    from tapegrad.optim.base import Optimizer


def arrays_by_name(flats: Iterable[FlatGroup]) -> dict[str, Array]:
    """Each array by its name, "<parameter's name>.<slot>": a view, in the parameter's shape."""
    return {
        f"{name}.{slot}": flat.view(buffer, i)
        for flat in flats
        for i, name in enumerate(flat.names)
        for slot, buffer in flat.state.items()
    }


def fill(flats: Iterable[FlatGroup], arrays: Mapping[str, Array]) -> None:
    """Copy each array into the state of that name. State without an array keeps its contents."""
    for name, view in arrays_by_name(flats).items():
        if name in arrays:
            write(view, arrays[name])


def numbers(opt: "Optimizer") -> dict[str, tuple[Group | None, str, float]]:
    """Each number of the state by its name, as (group, option, number). The first one is how many steps were done."""
    found: dict[str, tuple[Group | None, str, float]] = {"steps": (None, "steps", float(opt.steps))}
    for i, group in enumerate(opt.groups):
        end = f".{i}" if len(opt.groups) > 1 else ""
        for option in group.kinds:
            number = as_number(group, option, group.flats[0].value(option))
            found[f"{option}{end}"] = group, option, number
        for name, value in group.flats[0].counts().items():
            if name != "steps":
                found[f"{name}{end}"] = group, name, value
    return found


def as_number(group: Group, option: str, value: Any) -> float:
    """An option's value as a number: -1 for None, since no option is below 0; the position among the choices."""
    kind = group.kinds[option]
    if isinstance(kind, Choice):
        return float(kind.values.index(value))
    return -1.0 if value is None else float(value)


def from_number(group: Group, option: str, number: float) -> Any:
    kind = group.kinds[option]
    if isinstance(kind, Choice):
        return kind.values[int(number)] if number in range(len(kind.values)) else number
    return None if number == -1.0 else number


def scheduled(number: tuple[Group | None, str, float]) -> bool:
    """Whether a number of the state follows from the number of steps."""
    group, option, _ = number
    return group is not None and option in dict(group.flats[0].schedules)


def collect(opt: "Optimizer") -> dict[str, Tensor]:
    tensors = {
        name: full((), value, dtype=float64, device="cpu") for name, (_, _, value) in numbers(opt).items()
    }
    for name, view in arrays_by_name(opt.flats).items():
        home = backend_of(view)
        tensors[name] = Tensor(home.asarray(view, device=home.device_of(view), copy=True))
    return tensors


def restore(opt: "Optimizer", saved: Mapping[str, TensorLike]) -> None:
    own, arrays = numbers(opt), arrays_by_name(opt.flats)
    needed = {"steps", "lr", *opt.totals}
    required = {name: ((), "float64") for name, (_, option, _) in own.items() if option in needed}
    required |= {name: (tuple(view.shape), name_of(view.dtype)) for name, view in arrays.items()}
    optional = {name: ((), "float64") for name in own if name not in required}
    saved = state_given(f"{type(opt).__name__}.load_state_dict", saved)
    given = {name: asarray(value) for name, value in saved.items()}
    faults = [f"missing: {name}" for name in required if name not in given]
    faults += [f"unknown: {name}" for name in given if name not in required and name not in optional]
    for name, (shape, dtype) in (required | optional).items():
        t = given.get(name)
        if t is None:
            continue
        if (t.shape, name_of(t.dtype)) != (shape, dtype):
            faults.append(f"{name}: expected {dtype}{list(shape)}, got {name_of(t.dtype)}{list(t.shape)}")
        elif (
            name in optional
            and not scheduled(own[name])
            and (fault := difference(*own[name], float(t.item())))
        ):
            faults.append(f"{name}: {fault}, or leave {name!r} out of the state")
    if faults:
        raise ValueError(
            f"load_state_dict: this does not fit {opt!r}; nothing was loaded:\n  " + "\n  ".join(faults)
        )
    values = {name: at_least_0(f"{name} of the state", given[name]) for name in own if name in required}
    for t in given.values():
        t._read("load_state_dict", "Call it outside.")
    with uninterrupted():
        for name, number in own.items():
            group, option, _ = number
            if group is None or name not in given:
                continue
            if option == "lr" and not scheduled(number):
                group.lr = values[name]
            elif scheduled(number) or option in opt.totals:
                for flat in group.flats:
                    (flat.totals | dict(flat.numbers))[option].assign(given[name].item())
        for flat in opt.flats:
            flat.step.assign(values["steps"])
        fill(opt.flats, {name: t.data for name, t in given.items()})


def difference(group: Any, option: str, number: float, saved: float) -> str:
    """How a saved option differs from the optimizer's and what to do, or "" if they agree."""
    if number == saved:
        return ""
    was, here = from_number(group, option, saved), from_number(group, option, number)
    return f"the state was saved with {was!r}, this optimizer has {here!r}: give it {option}={was!r}"
