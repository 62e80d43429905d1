"""`Optimizer`: what every optimizer shares. A new one is a class with `slots` and `update`, and `rate` where needed."""

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from tapegrad.autograd.diagnostics import all_finite
from tapegrad.autograd.dtypes import name_of
from tapegrad.autograd.flags import Flags, current
from tapegrad.autograd.ops import clip_p
from tapegrad.autograd.recorder import NOTHING
from tapegrad.autograd.tensor import Tensor, drop_gradients
from tapegrad.autograd.whole import arithmetic_may_raise, uninterrupted
from tapegrad.optim import state
from tapegrad.optim.flat import Flat, Range
from tapegrad.optim.norms import clip_factor, scaled, squared_norm, to, total_of
from tapegrad.optim.params import above_0, at_least_0, optional, read_groups, yes_or_no

Check = Callable[[str, Any], Any]
FEW_BLOCKS = (
    4  # of so many blocks, whose new values stay in the cache, all are worked out before one is written
)
RAW = Flags(grad=False, raw=True)
ELSEWHERE = {"learning_rate": "lr", "epsilon": "eps", "betas": "beta_1 and beta_2", "alpha": "rho"}


class Group:
    """Parameters that are trained with the same options.

    params, names   the parameters, and what they are called in the optimizer's `state_dict`
    options   the hyperparameters, such as `options.beta_1`; fixed
    lr        the learning rate; may be set at any time
    """

    def __init__(self, named: dict[str, Tensor], options: Any, slots: dict[str, float]) -> None:
        self.names, self.params = list(named), list(named.values())
        self.options, self.slots = options, slots
        self.flats: list[Flat] = []

    def flatten(self, lr: float, steps: int) -> list[Flat]:
        """The parameters laid out in buffers, one for each dtype and device, with a state as at the beginning."""
        alike: dict[tuple[str, str], list[int]] = {}
        for i, p in enumerate(self.params):
            alike.setdefault((name_of(p.dtype), p.device), []).append(i)
        flats = [
            Flat([self.names[i] for i in at], [self.params[i] for i in at], self.options, self.slots)
            for at in alike.values()
        ]
        for flat in flats:
            flat.lr.assign(lr)
            flat.step.assign(steps)
        return flats

    @property
    def lr(self) -> float:
        return float(self.flats[0].lr.item())

    @lr.setter
    def lr(self, value: Any) -> None:
        lr = at_least_0("lr", value)
        for flat in self.flats:
            flat.lr.assign(lr)

    def __repr__(self) -> str:
        options = "".join(f", {k}={v!r}" for k, v in self.options._asdict().items())
        return f"Group(lr={self.lr:g}{options}; {len(self.params)} parameters)"


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
        self.groups: list[Group] = []
        self.flats: list[Flat] = []
        shared = {name: default for name, (default, _) in self.shared.items()}
        self.defaults = self._checked({"lr": lr, **own, **shared, **others})
        if params is not None:
            self.bind(params)

    # ---- what a subclass says ----
    def slots(self, h: Any) -> dict[str, float]:
        """The parts of the state, each with one number for every element of a parameter, and their first values."""
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
            raise ValueError(f"expected only one of clipvalue, clipnorm and global_clipnorm, got {clips}")

    # ---- parameters ----
    def bind(self, params: Any) -> "Optimizer":
        """Give an optimizer that was made without parameters the ones to train. Returns the optimizer."""
        if self.groups:
            raise RuntimeError(
                f"bind: this {type(self).__name__} has its parameters already: make a new one for others"
            )
        groups, rates = [], []
        for i, (named, differing) in enumerate(read_groups(params)):
            values = self._checked(self.defaults | differing, f" of group {i}" if differing else "")
            h = self._frozen(values)
            groups.append(Group(named, h, self.slots(h)))
            rates.append(values["lr"])
        self._take(groups, [group.flatten(group_lr, 0) for group, group_lr in zip(groups, rates)])
        return self

    def _take(self, groups: list[Group], flats: list[list[Flat]]) -> None:
        """Have these groups, each with its parameters in these buffers."""
        for group, own in zip(groups, flats):
            group.flats = own
        self.groups = groups
        self.flats = [flat for own in flats for flat in own]
        self.few_blocks = sum(len(flat.all_blocks) for flat in self.flats) <= FEW_BLOCKS

    def _checked(self, values: dict[str, Any], where: str = "") -> dict[str, Any]:
        checks = {
            "lr": at_least_0,
            **self.options,
            **{name: check for name, (_, check) in self.shared.items()},
        }
        for name in values:
            if name not in checks:
                hint = f" (here it is called {ELSEWHERE[name]})" if name in ELSEWHERE else ""
                raise TypeError(
                    f"{type(self).__name__}: unknown option {name!r}{where}{hint}; known are {', '.join(checks)}"
                )
        checked = {name: checks[name](name + where, value) for name, value in values.items()}
        self.check(self._frozen(checked))
        return checked

    def _frozen(self, values: dict[str, Any]) -> Any:
        kept = {name: value for name, value in values.items() if name != "lr"}
        return namedtuple("Options", kept)(**kept)

    def _follow(self) -> None:
        """Some parameters have their values elsewhere now: take them up, and move the state to where they are."""
        for flat in self.flats:
            for name, p, view in zip(flat.names, flat.params, flat.views):
                if p.shape != view.shape:
                    raise ValueError(
                        f"parameter {name!r} had shape {view.shape} when the optimizer was made and has {p.shape} now: "
                        "make a new optimizer"
                    )
        if all(flat.fits() for flat in self.flats):
            for flat in self.flats:
                flat.link()
            return
        kept, steps = state.places(self.flats), self.steps
        flats = [group.flatten(group.lr, steps) for group in self.groups]
        state.fill([flat for own in flats for flat in own], kept)
        self._take(self.groups, flats)

    # ---- training ----
    def zero_grad(self) -> None:
        """Drop the gradients, so that the next backward starts from nothing."""
        for flat in self.flats:
            drop_gradients(flat.params)

    def step(self) -> None:
        """Update every parameter that has a gradient.

        Raises RuntimeError if none has one, or if the optimizer has no parameters.
        """
        if not self.flats:
            self._need_parameters("step")
        for flat in self.flats:
            if not flat.linked():
                with uninterrupted():
                    self._follow()
                break
        flags = current.get()
        recording = flags.recorder is not None
        try:  # the flags are set inside, so that an interrupt just after that puts them back
            current.set(replace(flags, grad=False) if recording else RAW)
            with NOTHING if flags.recorder is None else flags.recorder.part(type(self).__name__):
                spans = []
                for flat in self.flats:
                    with flat.scope():
                        spans.append(flat.gather())
                if not any(spans):
                    raise RuntimeError(self._no_gradient())
                total = self._squared_norm(spans, recording)
                self._advance(spans, total, recording)
        finally:
            current.set(flags)
        if flags.anomaly:
            self._look_for_anomaly()

    def _look_for_anomaly(self) -> None:
        for flat in self.flats:
            for name, view in zip(flat.names, flat.views):
                if not all_finite(view):
                    raise FloatingPointError(
                        f"the step of {self!r} left a NaN or Inf in the parameter {name!r}"
                    )

    def _advance(self, spans: list[list[Range]], total: Any, recording: bool) -> None:
        """One step for the given ranges of each Flat's parameters, whole or not at all: everything is worked out before
        anything is written. Many blocks take two to six times as long that way, so each is written at once, unless a
        number out of range would raise. They find the memory that the first one, worked out before, has given back."""
        changes = self._changes(spans, total, recording)
        if recording or self.few_blocks or arithmetic_may_raise():
            changes = list(changes)
        with uninterrupted():
            for target, value in changes:
                if recording:
                    target.assign(value)
                else:
                    target[...] = value
            for flat, ranges in zip(self.flats, spans):
                for span in ranges:
                    flat.stamp(span)

    def _changes(self, spans: list[list[Range]], total: Any, recording: bool) -> Iterable[tuple[Any, Any]]:
        """What a step writes, as (array, its new contents), block by block; while a recorder listens as Tensors, in one
        piece, so that it sees every primitive."""
        for flat, ranges in zip(self.flats, spans):
            with flat.scope():
                lr, step = flat.next_step(recording)
                h, rate = flat.options, flat.cast(self.rate(flat.options, lr, step), recording)
                decay = None if h.weight_decay is None else flat.cast(lr * h.weight_decay, recording)
                clip = h.global_clipnorm
                factor = None if clip is None else to(clip_factor(total, clip), flat.device)
                plain = decay is None and factor is None and h.clipvalue is None and not h.maximize
                news = []
                for span in ranges:
                    for piece in [flat.tensors(span)] if recording else flat.blocks(span):
                        p, g, *rest = piece if plain else self._prepared(h, piece, decay, factor)
                        new = self.update(h, p, g, rate, *rest)
                        if recording:
                            news.append(new)
                        else:
                            yield from zip((piece[0], *rest), new)
                if recording:
                    yield from flat.joined(ranges, news)
                yield (flat.step, step) if recording else (flat.step.data, step)

    def _prepared(self, h: Any, piece: list[Any], decay: Any, factor: Any) -> list[Any]:
        """[p, g, *state] after the options that every optimizer has."""
        p, g, *rest = piece
        if h.clipvalue is not None:
            g = clip_p(g, min=-h.clipvalue, max=h.clipvalue)
        if factor is not None:
            g = scaled(g, factor)
        return [p if decay is None else p - p * decay, -g if h.maximize else g, *rest]

    def _squared_norm(self, spans: list[list[Range]], recording: bool) -> Any:
        """The sum of the squares of all gradients, if any group asks for it."""
        if all(flat.options.global_clipnorm is None for flat in self.flats):
            return None
        return total_of(
            squared_norm(flat.gradient(span, recording))
            for flat, ranges in zip(self.flats, spans)
            for span in ranges
        )

    def _no_gradient(self) -> str:
        names = [name for flat in self.flats for name in flat.names]
        some = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        return (
            "step: no parameter has a gradient: call loss.backward() before step(), and zero_grad() before that. "
            f"If it was called, the loss does not depend on the parameters {some}"
        )

    def _need_parameters(self, what: str) -> None:
        if not self.groups:
            raise RuntimeError(f"{what}: this {type(self).__name__} has no parameters yet: call bind(model)")

    # ---- its state ----
    @property
    def steps(self) -> int:
        """How many steps were done."""
        return int(self.flats[0].step.item()) if self.flats else 0

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

    def state_dict(self) -> dict[str, Tensor]:
        """A copy of everything that later steps depend on besides the parameters and the options: "steps", "lr" (of
        several groups "lr.0", "lr.1", …), and "<parameter's name>.<slot>" for each part of the state. For `tg.save`.

        A parameter's name is its path in the Module, or the name in the pair, or its position in the list; of several
        groups "<group>.<name>".
        """
        self._need_parameters("state_dict")
        return state.collect(self)

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Take up what `state_dict` gave, in the same optimizer of the same parameters with the same options.

        Raises ValueError that lists everything that is missing, unknown, or of another shape or dtype; nothing is
        changed then.
        """
        self._need_parameters("load_state_dict")
        state.restore(self, saved)

    def __getstate__(self) -> dict[str, Any]:
        """For copy and pickle: possible until there are parameters, whose memory the optimizer shares."""
        if self.groups:
            raise TypeError(
                f"an {type(self).__name__} with parameters is neither copied nor pickled: make a new one for the "
                "copied parameters and give it state_dict()"
            )
        return self.__dict__

    def __repr__(self) -> str:
        shown = {k: v for k, v in self.defaults.items() if k not in self.shared or v != self.shared[k][0]}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in shown.items())})"
