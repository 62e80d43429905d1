"""`Optimizer`: what every optimizer shares. A new one is a class with `slots` and `update`, and `rate` where needed."""

from collections import namedtuple
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from tapegrad.autograd.creation import asarray, full, tensor
from tapegrad.autograd.dtypes import float64, name_of
from tapegrad.autograd.flags import changed_flags, current
from tapegrad.autograd.ops import clip_p
from tapegrad.autograd.tensor import Tensor, tick
from tapegrad.optim.clip import cast, clip_factor, scaled, squared_norm, total_of
from tapegrad.optim.flat import Flat, Range, write
from tapegrad.optim.params import above_0, at_least_0, optional, read_groups, yes_or_no

Check = Callable[[str, Any], Any]
SPELT = {"learning_rate": "lr", "epsilon": "eps", "betas": "beta_1 and beta_2", "alpha": "rho"}


class Group:
    """Parameters that are trained with the same options.

    names     of its parameters, as in the optimizer's `state_dict`
    options   its hyperparameters, such as `options.beta_1`: fixed
    lr        its learning rate: may be set at any time
    """

    def __init__(self, params: dict[str, Tensor], options: Any) -> None:
        self.params = list(params.values())
        self.names = list(params)
        self.options = options
        self.flats: list[Flat] = []

    @property
    def lr(self) -> float:
        return float(self.flats[0].lr.item())

    @lr.setter
    def lr(self, value: Any) -> None:
        lr = at_least_0("lr", value)
        for flat in self.flats:
            flat.lr.assign(lr)

    def __repr__(self) -> str:
        options = ", ".join(f"{k}={v!r}" for k, v in self.options._asdict().items())
        return f"Group(lr={self.lr:g}, {options}; {len(self.params)} parameters)"


class Optimizer:
    """Changes parameters along their gradients: `opt.step()`.

    params    a Module, a list of tensors (`model.parameters()`), (name, tensor) pairs, a dict of tensors, or a list of
              groups, dicts with "params" and any option, "lr" included, that differs in this group. Left out, they are
              given later by `bind`
    lr        the learning rate; `opt.lr = value` changes it at any time

    Options of every optimizer, applied in this order:
    clipvalue, clipnorm, global_clipnorm   one of them: gradients are brought into [-clipvalue, clipvalue]; each
              parameter's gradient is scaled down to a Euclidean norm of clipnorm; all gradients together are scaled
              down to a norm of global_clipnorm
    maximize  climb instead of descend
    weight_decay   every weight first loses lr * weight_decay of itself, as in Keras. PyTorch does so in AdamW alone,
              and elsewhere adds weight_decay * p to the gradient

    A parameter without a gradient keeps its value and its state in that step. The number of steps is counted for all
    parameters together, as in Keras; PyTorch counts for each parameter the steps in which it had a gradient.

    A parameter's `data` becomes a view of a buffer that holds the whole group, and is written to in place. If something
    else takes its place (loading, `.to("cupy")`, another optimizer of the same parameter), the next step follows: the
    new values are taken up, and the state moves along.

    A subclass says how to update, in operators and functions of tapegrad that know neither shapes nor devices:
    `slots` names the parts of its state, `rate` is worked out once per step in float64, `update` returns new values.
    """

    options: ClassVar[dict[str, Check]] = {}  # a subclass's own hyperparameters and what checks them
    shared: ClassVar[dict[str, tuple[Any, Check]]] = {
        "weight_decay": (None, optional(at_least_0)),
        "clipvalue": (None, optional(above_0)),
        "clipnorm": (None, optional(above_0)),
        "global_clipnorm": (None, optional(above_0)),
        "maximize": (False, yes_or_no),
    }

    def __init__(self, params: Any, lr: Any, own: dict[str, Any], others: dict[str, Any]) -> None:
        known = {
            "lr": at_least_0,
            **self.options,
            **{name: check for name, (_, check) in self.shared.items()},
        }
        self._checks: dict[str, Check] = known
        defaults = {name: default for name, (default, _) in self.shared.items()}
        self.defaults = self._checked({"lr": lr, **own, **defaults, **others})
        self.groups: list[Group] = []
        self.flats: list[Flat] = []
        if params is not None:
            self.bind(params)

    # ---- what a subclass says ----
    def slots(self, h: Any) -> dict[str, float]:
        """The parts of the state, one number of each per parameter's element, and their first values."""
        return {}

    def rate(self, h: Any, lr: Any, step: Any) -> Any:
        """The factor that `update` gets, from the learning rate and the number of this step, from 1. In float64."""
        return lr

    def update(self, h: Any, p: Any, g: Any, rate: Any, *state: Any) -> tuple[Any, ...]:
        """(new p, *new state) from a parameter p, its gradient g, the rate and the options h. Changes nothing."""
        raise NotImplementedError

    def check(self, h: Any) -> None:
        """Raise ValueError for options that contradict each other."""
        clips = [
            name for name in ("clipvalue", "clipnorm", "global_clipnorm") if getattr(h, name) is not None
        ]
        if len(clips) > 1:
            raise ValueError(f"only one of clipvalue, clipnorm and global_clipnorm can be given, not {clips}")

    # ---- parameters ----
    def bind(self, params: Any) -> "Optimizer":
        """Give an optimizer that was made without parameters the ones to train. Returns the optimizer."""
        if self.groups:
            raise RuntimeError(
                f"bind: this {type(self).__name__} has its parameters already: make a new one for others"
            )
        groups = []
        for i, (named, differing) in enumerate(read_groups(params)):
            values = self._checked(self.defaults | differing, f" in group {i}" if differing else "")
            group = Group(named, self._frozen(values))
            group.flats = self._flats_of(group)
            group.lr = values["lr"]
            groups.append(group)
        self.groups = groups
        self.flats = [flat for group in groups for flat in group.flats]
        return self

    def _checked(self, values: dict[str, Any], where: str = "") -> dict[str, Any]:
        for name in values:
            if name not in self._checks:
                hint = f": here it is called {SPELT[name]}" if name in SPELT else ""
                raise TypeError(
                    f"{type(self).__name__}: unknown option {name!r}{where}{hint}; known are {', '.join(self._checks)}"
                )
        checked = {name: self._checks[name](f"{name}{where}", value) for name, value in values.items()}
        self.check(self._frozen(checked))
        return checked

    def _frozen(self, values: dict[str, Any]) -> Any:
        kept = {name: value for name, value in values.items() if name != "lr"}
        return namedtuple(f"{type(self).__name__}Options", kept)(**kept)

    def _flats_of(self, group: Group) -> list[Flat]:
        alike: dict[tuple[str, str], list[int]] = {}
        for i, p in enumerate(group.params):
            alike.setdefault((name_of(p.dtype), p.device), []).append(i)
        slots = self.slots(group.options)
        return [
            Flat([group.names[i] for i in at], [group.params[i] for i in at], group.options, slots)
            for at in alike.values()
        ]

    def _follow(self) -> None:
        """Some parameters have their values elsewhere now: take them up, and move the state to where they are."""
        for flat in self.flats:
            for name, p, view in zip(flat.names, flat.params, flat.views, strict=True):
                if p.shape != view.shape:
                    raise ValueError(
                        f"parameter {name!r} had shape {view.shape} when the optimizer was made and has {p.shape} now: "
                        "make a new optimizer"
                    )
        if all(flat.fits() for flat in self.flats):
            for flat in self.flats:
                flat.link()
            return
        state, steps = self._places(), self.steps
        for group in self.groups:
            lr, group.flats = group.lr, self._flats_of(group)
            group.lr = lr
        self.flats = [flat for group in self.groups for flat in group.flats]
        for flat in self.flats:
            flat.step.assign(steps)
        for name, view in self._places().items():
            write(view, state[name])

    # ---- training ----
    def zero_grad(self) -> None:
        """Drop the gradients, so that the next backward starts from nothing."""
        for flat in self.flats:
            for p in flat.params:
                p.grad = None

    def step(self) -> None:
        """Update every parameter that has a gradient.

        Raises RuntimeError if none has one, or if the optimizer has no parameters.
        """
        flats = self.flats
        if not flats:
            self._need_parameters("step")
        for flat in flats:
            if not flat.linked():
                self._follow()
                flats = self.flats
                break
        spans = [flat.gather() for flat in flats]
        if not any(spans):
            names = [name for flat in flats for name in flat.names]
            some = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            raise RuntimeError(
                "step: no parameter has a gradient: call loss.backward() before step(), and zero_grad() before that. "
                f"If it was called, the loss does not depend on the parameters {some}"
            )
        recording = current.get().recorder is not None
        with changed_flags(raw=not recording, grad=False):
            total = self._squared_norm(spans, recording)
            for flat, ranges in zip(flats, spans, strict=True):
                self._advance(flat, ranges, total, recording)

    def _advance(self, flat: Flat, ranges: list[Range], total: Any, recording: bool) -> None:
        """One step for the given ranges of a Flat's parameters: on raw arrays, block by block and in place; while a
        recorder listens on Tensors, in one piece, so that it sees every primitive."""
        h = flat.options
        if recording:
            flat.step.assign(flat.step + 1.0)
            lr, step = flat.lr, flat.step
        else:
            lr, step = flat.lr.data, flat.step.data
            step += 1.0
        rate = cast(self.rate(h, lr, step), flat.dtype)
        decay = None if h.weight_decay is None else cast(lr * h.weight_decay, flat.dtype)
        factor = None if h.global_clipnorm is None else clip_factor(total, h.global_clipnorm, flat.device)
        if h.clipnorm is not None:
            ranges = [(i, i + 1) for start, stop in ranges for i in range(start, stop)]
        for span in ranges:
            if h.clipnorm is not None:
                factor = clip_factor(squared_norm(flat.gradient(span, recording)), h.clipnorm)
            for p, g, *state in [flat.tensors(span)] if recording else flat.blocks(span):
                new = self._new(h, p, g, state, rate, decay, factor)
                if recording:
                    flat.assign(span, new)
                else:
                    p[...] = new[0]
                    for part, value in zip(state, new[1:], strict=True):
                        part[...] = value
            now = tick()  # a graph recorded with the old values must not be gone back through
            for p in flat.params[slice(*span)]:
                p.changed = now

    def _new(self, h: Any, p: Any, g: Any, state: list[Any], rate: Any, decay: Any, factor: Any) -> Any:
        if h.clipvalue is not None:
            g = clip_p(g, min=-h.clipvalue, max=h.clipvalue)
        if factor is not None:
            g = scaled(g, factor)
        if h.maximize:
            g = -g
        if decay is not None:
            p = p - p * decay
        return self.update(h, p, g, rate, *state)

    def _squared_norm(self, spans: list[list[Range]], recording: bool) -> Any:
        """The sum of the squares of all gradients, if any group asks for it."""
        if all(flat.options.global_clipnorm is None for flat in self.flats):
            return None
        return total_of(
            squared_norm(flat.gradient(span, recording))
            for flat, ranges in zip(self.flats, spans, strict=True)
            for span in ranges
        )

    # ---- saving ----
    def _places(self) -> dict[str, Any]:
        """Each array of the state by name: "<parameter's name>.<slot>", as a view in the parameter's shape."""
        return {
            f"{name}.{slot}": flat.view(buffer, i)
            for flat in self.flats
            for i, name in enumerate(flat.names)
            for slot, buffer in flat.state.items()
        }

    def _numbers(self) -> dict[str, float]:
        """The numbers of the state: how many steps were done, and each group's learning rate."""
        self._need_parameters("state_dict")
        return {
            "steps": self.steps,
            **{f"lr.{i}" if len(self.groups) > 1 else "lr": group.lr for i, group in enumerate(self.groups)},
        }

    @property
    def steps(self) -> int:
        """How many steps were done."""
        return int(self.flats[0].step.item()) if self.flats else 0

    def state_dict(self) -> dict[str, Tensor]:
        """A copy of everything that later steps depend on besides the parameters and the options: "steps", "lr" (or
        "lr.<i>" of each group), and "<parameter's name>.<slot>" for each part of the state. For `tg.save`."""
        numbers = {name: full((), value, dtype=float64) for name, value in self._numbers().items()}
        return numbers | {name: tensor(view) for name, view in self._places().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` gave, in the same optimizer of the same parameters with the same options.

        Raises ValueError that lists everything that is missing, unknown, or of another shape or dtype; nothing is
        changed then.
        """
        numbers, places = self._numbers(), self._places()
        wanted = {name: ((), "float64") for name in numbers} | {
            name: (tuple(view.shape), name_of(view.dtype)) for name, view in places.items()
        }
        given = {name: asarray(value) for name, value in state.items()}
        faults = [f"missing: {name}" for name in wanted if name not in given]
        faults += [f"unknown: {name}" for name in given if name not in wanted]
        faults += [
            f"{name}: expected {dtype}{list(shape)}, got {name_of(given[name].dtype)}{list(given[name].shape)}"
            for name, (shape, dtype) in wanted.items()
            if name in given and (given[name].shape, name_of(given[name].dtype)) != (shape, dtype)
        ]
        if faults:
            raise ValueError(
                f"load_state_dict: the state does not fit this {type(self).__name__}; nothing was loaded:\n  "
                + "\n  ".join(faults)
            )
        for i, group in enumerate(self.groups):
            group.lr = given[f"lr.{i}" if len(self.groups) > 1 else "lr"].item()
        for flat in self.flats:
            flat.step.assign(given["steps"].item())
        for name, view in places.items():
            write(view, given[name].data)

    def __getstate__(self) -> dict[str, Any]:
        """For copy and pickle: possible until there are parameters, whose place in memory the optimizer shares."""
        if self.groups:
            raise TypeError(
                f"an {type(self).__name__} with parameters is neither copied nor pickled: make a new one for the "
                "copied parameters and give it state_dict()"
            )
        return self.__dict__

    # ---- reading and setting ----
    @property
    def lr(self) -> float:
        """The learning rate. Setting it sets that of every group; where they differ, reading it raises ValueError."""
        rates = {group.lr for group in self.groups} or {self.defaults["lr"]}
        if len(rates) > 1:
            raise ValueError(
                f"the groups have different learning rates, {sorted(rates)}: use opt.groups[i].lr"
            )
        return rates.pop()

    @lr.setter
    def lr(self, value: Any) -> None:
        self.defaults["lr"] = at_least_0("lr", value)
        for group in self.groups:
            group.lr = value

    def __repr__(self) -> str:
        shown = {k: v for k, v in self.defaults.items() if k not in self.shared or v != self.shared[k][0]}
        options = ", ".join(f"{k}={v!r}" for k, v in shown.items())
        return f"{type(self).__name__}({options})"

    def _need_parameters(self, what: str) -> None:
        if not self.groups:
            raise RuntimeError(f"{what}: this {type(self).__name__} has no parameters yet: call bind(model)")
