"""An optimizer's state by name: out of its buffers, and back into them."""

from collections.abc import Iterable, Mapping
from typing import Any

from tapegrad.autograd.creation import asarray, full
from tapegrad.autograd.dtypes import float64, name_of
from tapegrad.autograd.tensor import Tensor
from tapegrad.autograd.whole import uninterrupted
from tapegrad.backends import backend_of
from tapegrad.optim.flat import Flat, write
from tapegrad.optim.params import at_least_0


def places(flats: Iterable[Flat]) -> dict[str, Any]:
    """Each array by its name, "<parameter's name>.<slot>": a view, in the parameter's shape."""
    return {
        f"{name}.{slot}": flat.view(buffer, i)
        for flat in flats
        for i, name in enumerate(flat.names)
        for slot, buffer in flat.state.items()
    }


def fill(flats: Iterable[Flat], arrays: Mapping[str, Any]) -> None:
    """Copy arrays into the places of their names."""
    for name, view in places(flats).items():
        write(view, arrays[name])


def numbers(opt: Any) -> dict[str, float]:
    """How many steps were done, and each group's learning rate."""
    rates = {f"lr.{i}" if len(opt.groups) > 1 else "lr": group.lr for i, group in enumerate(opt.groups)}
    return {"steps": opt.steps, **rates}


def collect(opt: Any) -> dict[str, Tensor]:
    found = {name: full((), value, dtype=float64, device="cpu") for name, value in numbers(opt).items()}
    for name, view in places(opt.flats).items():
        home = backend_of(view)
        found[name] = Tensor(home.asarray(view, device=home.device_of(view), copy=True))
    return found


def restore(opt: Any, saved: Mapping[str, Any]) -> None:
    wanted = {name: ((), "float64") for name in numbers(opt)} | {
        name: (tuple(view.shape), name_of(view.dtype)) for name, view in places(opt.flats).items()
    }
    given = {name: asarray(value) for name, value in saved.items()}
    faults = [f"missing: {name}" for name in wanted if name not in given]
    faults += [f"unknown: {name}" for name in given if name not in wanted]
    faults += [
        f"{name}: expected {dtype}{list(shape)}, got {name_of(t.dtype)}{list(t.shape)}"
        for name, (shape, dtype) in wanted.items()
        if (t := given.get(name)) is not None and (t.shape, name_of(t.dtype)) != (shape, dtype)
    ]
    if faults:
        raise ValueError(
            f"load_state_dict: this does not fit {opt!r}; nothing was loaded:\n  " + "\n  ".join(faults)
        )
    steps, *rates = (at_least_0(f"{name} of the state", given[name]) for name in numbers(opt))
    with uninterrupted():
        for group, lr in zip(opt.groups, rates):
            group.lr = lr
        for flat in opt.flats:
            flat.step.assign(steps)
        fill(opt.flats, {name: t.data for name, t in given.items()})
