"""`Optimizer`: what every optimizer shares. A new one is a class with `options`, `slots`, `constants` and `update`."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

from tapegrad.autograd.aliases import Function, TensorLike, Value
from tapegrad.autograd.arguments import shortened
from tapegrad.autograd.diagnostics import all_finite, plural
from tapegrad.autograd.flags import current
from tapegrad.autograd.foreign import answering_methods
from tapegrad.autograd.gradients import drop_gradients
from tapegrad.autograd.limits import follow, limits_of
from tapegrad.autograd.ops import maximum, minimum
from tapegrad.autograd.recorder import NOTHING
from tapegrad.autograd.tensor import Tensor
from tapegrad.autograd.whole import arithmetic_may_raise, uninterrupted
from tapegrad.optim import state
from tapegrad.optim.aliases import (
    FirstLike,
    NumberLike,
    OptionNames,
    OptionValues,
    ParamsLike,
    Slots,
    Updated,
)
from tapegrad.optim.arithmetic import ARRAYS, Arrays, Change, Recorded, by_name
from tapegrad.optim.flat import FlatGroup, Range
from tapegrad.optim.group import Defaults, Fixed, Group
from tapegrad.optim.norms import clip_factor, device_of, move_to, norm_of, scaled
from tapegrad.optim.params import read_groups
from tapegrad.optim.schedules import Schedule
from tapegrad.optim.update import Update

# Of so few blocks, whose new values stay in the cache, all are worked out before one is written.
FEW_BLOCKS = 4
CLIPS = ("clipvalue", "clipnorm", "global_clipnorm")


class Optimizer(Update):
    """Changes parameters along their gradients: `opt.step()`.

    The options are applied in this order: a clip, maximize, weight_decay. Each is an attribute, of the optimizer for
    all groups and of each group: `opt.lr = 0.1`, `opt.groups[0].beta_1 = 0.5`. It may be set between any two steps. A
    number may also be a function of the number of steps done, such as those in `optim.schedules`: the optimizer asks
    `lr=Cosine(0.001, 1000)` before each step, and the attribute reads as the number. A compiled step follows a number
    without a new recording, unless the number comes from or goes to None or, where 0 means off, 0. Reading an option in
    which the groups differ raises ValueError.

    A parameter without a gradient keeps its value and its state in that step. Steps are counted for all parameters
    together, as in Keras; PyTorch counts for each parameter the steps in which it had a gradient.

    A gradient whose square overflows counts as the largest one whose square does not, so the state stays finite. An
    infinite gradient gives NaN.

    A parameter's `data` becomes a view of a buffer that holds the whole group, and is written in place. Whatever shared
    its memory before, as `p.detach()` or a NumPy array under `tg.asarray`, keeps the old values from then on. If it is
    replaced (loading, `.to("cupy")`, another optimizer of the same parameter), the next step copies the new values in
    and moves the state to their device.

    A subclass says how to update, in operators and functions of tapegrad that know neither shapes nor devices:
    `options` and their kinds, `slots`, the parts of its state, `constants` and `numbers`, computed in float64, and
    `update`, which returns new values.

    Args:
        params: A Module, a list of tensors (`model.parameters()`), (name, tensor) pairs, a dict of tensors, or a list
            of groups, dicts with "params" and any option that differs in this group. None: `bind` gives them later, as
            `Sequential.compile` does; then `Adam(1e-3)` and `Adam(learning_rate=1e-3)` are `Adam(lr=1e-3)`.
        lr: The learning rate, at least 0, a number (of a tensor a copy) or a schedule; None is the form's default.
        own: The options that only this optimizer has, by name.
        others: Options of every optimizer, by name. One of the clips: clipvalue brings gradients into [-clipvalue,
            clipvalue]; clipnorm scales each parameter's gradient down to a Euclidean norm of clipnorm;
            global_clipnorm scales all gradients together down to that norm. maximize climbs instead of descending.
            With weight_decay every weight first loses lr * weight_decay of itself, as in Keras and PyTorch's AdamW.
            form is "keras", or "torch" for PyTorch's formulas and defaults, so that a moved program continues to the
            same numbers, if every parameter has a gradient in every step: steps are counted for all together.
            weight_decay * p is then added to the gradient (L2 decay) in all but AdamW. The form cannot be changed
            once there are parameters.
    """

    keras_defaults: ClassVar[dict[str, float]] = {"lr": 0.01}  # of the options that each form has its own for
    torch_defaults: ClassVar[dict[str, float]] = {"lr": 0.001}
    # Whether weight_decay is no part of the gradient in PyTorch, either.
    always_decoupled: ClassVar[bool] = False
    # Whether `update` gets parameters one by one, in their shapes; otherwise in pieces of one long vector.
    shaped: ClassVar[bool] = False
    # The parts of the state that are one number for all parameters, and their first values.
    totals: ClassVar[dict[str, float]] = {}
    if TYPE_CHECKING:
        lr: float
        weight_decay: float | None
        clipvalue: float | None
        clipnorm: float | None
        global_clipnorm: float | None
        maximize: bool
        form: str

    def __init__(
        self, params: FirstLike, lr: NumberLike | None, own: OptionValues, others: OptionValues
    ) -> None:
        given, lr, others = self._without_parameters(params, lr, others)
        self.groups: Fixed[Group] = Fixed()
        self.flats: list[FlatGroup] = []
        shared = {name: default for name, (default, _) in self.shared.items()}
        values = {"lr": lr, **own, **shared, **others}
        usual = self.torch_defaults if values["form"] == "torch" else self.keras_defaults
        values |= {name: value for name, value in usual.items() if values[name] is None}
        self.defaults = Defaults(self._checked(values))
        if given is not None:
            self.bind(given)

    def _without_parameters(
        self, params: FirstLike, lr: NumberLike | None, others: OptionValues
    ) -> tuple[Any, NumberLike | None, OptionValues]:
        """The arguments as they are meant: `Adam(1e-3)` and `Adam(learning_rate=1e-3)` are Keras's way."""
        if isinstance(params, (int, float, Schedule)) and not isinstance(params, bool):
            if lr is not None:
                raise TypeError(
                    f"{type(self).__name__}({params}, {lr}): the first argument is the parameters, and a learning rate "
                    f"alone may stand there: give all options by name, lr={params}, …"
                )
            params, lr = None, params
        if params is None and lr is None and "learning_rate" in others:
            lr = others["learning_rate"]
            others = {name: value for name, value in others.items() if name != "learning_rate"}
        return params, lr, others

    def check(self, options: OptionNames) -> None:
        """Refuse options that contradict each other.

        Args:
            options: The options of a group, as attributes.

        Raises:
            ValueError: Two options contradict each other.
        """
        clips = [name for name in CLIPS if getattr(options, name) is not None]
        if len(clips) > 1:
            raise ValueError(f"expected only one of clipvalue, clipnorm and global_clipnorm, got {clips}")

    # ---- parameters ----
    def bind(self, params: ParamsLike) -> "Optimizer":
        """Give an optimizer that was made without parameters the ones to train. Returns the optimizer.

        Args:
            params: A Module, tensors, a dict of tensors by name, or a list of groups.

        Raises:
            RuntimeError: It has parameters already.
        """
        if self.groups:
            raise RuntimeError(
                f"bind: this {type(self).__name__} has its parameters already: make a new one for others"
            )
        groups: list[Group] = []
        flats: list[list[FlatGroup]] = []
        for i, (named, differing) in enumerate(read_groups(params)):
            values = self._checked({**self.defaults, **differing}, f" of group {i}" if differing else "")
            groups.append(Group(named, self))
            flats.append(groups[-1].flatten(values, self.slots(SimpleNamespace(**values)), self.totals))
        self._take(groups, flats)
        return self

    def _take(self, groups: Sequence[Group], flats: list[list[FlatGroup]]) -> None:
        """Have these groups, each with its parameters in these buffers."""
        for group, own in zip(groups, flats):
            group.replace_flats(own)
        self.groups = Fixed(groups)
        self.flats = [flat for own in flats for flat in own]
        follow(self)
        self.few_blocks = sum(len(flat.all_blocks) for flat in self.flats) <= FEW_BLOCKS

    def follow_limits(self) -> None:
        """Take up the constraints that the layers have now for the parameters."""
        for flat in self.flats:
            flat.limits = limits_of(flat.params)

    def add_slots(self, group: Group, added: dict[str, float], values: OptionValues) -> None:
        kept, first = state.arrays_by_name(group.flats), group.flats[0]
        flats = group.flatten(values, {slot: 0.0 for slot in first.state} | added, self.totals, first)
        state.fill(flats, kept)
        self._take(self.groups, [flats if other is group else other.flats for other in self.groups])

    def _reattach(self) -> None:
        """Re-attach parameters whose `data` was replaced, and move the optimizer state to their device."""
        for flat in self.flats:
            for name, p, view in zip(flat.names, flat.params, flat.views):
                if p.shape != view.shape:
                    raise ValueError(
                        f"parameter {name!r} had shape {view.shape} when the optimizer was made and has {p.shape} now: "
                        "make a new optimizer"
                    )
        if all(flat.can_attach() for flat in self.flats):
            for flat in self.flats:
                flat.attach()
            return
        kept = state.arrays_by_name(self.flats)
        flats = [
            group.flatten(
                group.options(), {slot: 0.0 for slot in group.flats[0].state}, self.totals, group.flats[0]
            )
            for group in self.groups
        ]
        state.fill([flat for own in flats for flat in own], kept)
        self._take(self.groups, flats)

    # ---- training ----
    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients, so that the next backward starts from nothing.

        Args:
            set_to_none: PyTorch's. Must be True: gradients are dropped and never filled with 0.
        """
        drop_gradients([p for flat in self.flats for p in flat.params], set_to_none)

    def step(self, closure: None = None) -> None:
        """Update every parameter that has a gradient. RuntimeError if none has one; TypeError for a closure.

        Args:
            closure: PyTorch's. Must be None: only `LBFGS` calls it.
        """
        if closure is not None:
            raise TypeError(
                f"{type(self).__name__}.step: expected no closure, got {closure!r}: call zero_grad(), compute the "
                "loss, call its backward(), then step(); optim.LBFGS is the optimizer that takes a closure"
            )
        if not self.flats:
            self._need_parameters("step")
        if not all(flat.attached() for flat in self.flats):
            with uninterrupted():
                self._reattach()
        for flat in self.flats:
            if flat.schedules:
                flat.follow_schedules()
        flags = current.get()
        work = ARRAYS if flags.recorder is None else Recorded(flags)
        try:  # the flags are set inside, so that an interrupt just after that puts them back
            current.set(work.flags)
            with NOTHING if flags.recorder is None else flags.recorder.part(type(self).__name__):
                spans = []
                for flat in self.flats:
                    with flat.scope():
                        spans.append(flat.collect_gradients())
                if not any(spans):
                    raise RuntimeError(self._no_gradient())
                self._advance(work, spans)
        finally:
            current.set(flags)
        for flat in self.flats:
            if flat.limits:
                flat.constrain()
        if flags.anomaly:
            self._look_for_anomaly()

    def _look_for_anomaly(self) -> None:
        for flat in self.flats:
            for name, view in zip(flat.names, flat.views):
                if not all_finite(view):
                    raise FloatingPointError(
                        f"the step of {self!r} left a NaN or Inf in the parameter {name!r}"
                    )

    def _advance(self, work: Arrays | Recorded, spans: list[list[Range]]) -> None:
        """One step for the given ranges of each flat group's parameters, whole or not at all: everything is worked out
        before anything is written. Many blocks take two to six times as long that way, so each is written at once,
        unless a number out of range would raise. They find the memory that the first one, worked out before, has given
        back."""
        changes = self._changes(work, spans)
        if work.all_at_once or self.few_blocks or arithmetic_may_raise():
            changes = list(changes)
        with uninterrupted():
            work.write(changes)
            for flat, ranges in zip(self.flats, spans):
                for span in ranges:
                    flat.mark_changed(span)

    def _changes(self, work: Arrays | Recorded, spans: list[list[Range]]) -> Iterable[Change]:
        """What a step writes, as (target, its new contents)."""
        prepared = [work.prepared(flat, self._prepare) for flat in self.flats]
        norm_needed = False
        for flat, ranges, (options, _, _) in zip(self.flats, spans, prepared):
            norm_needed |= options.global_clipnorm is not None
            if options.clipnorm is not None:
                for span in ranges:
                    work.shrink_each(flat, span, options.clipnorm)
        if norm_needed:
            norm = norm_of(
                work.gradient(flat, span) for flat, ranges in zip(self.flats, spans) for span in ranges
            )
            for flat, (options, n, _) in zip(self.flats, prepared):
                if options.global_clipnorm is not None:
                    limit = move_to(options.global_clipnorm, device_of(norm))
                    n.factor = move_to(clip_factor(norm, limit), flat.device)
        for flat, ranges, (options, n, update) in zip(self.flats, spans, prepared):
            with flat.scope():
                step = work.next_step(flat)
                if flat.totals:
                    vars(options).update(work.totals(flat))
                for name, number in self.numbers(options, step).items():
                    setattr(n, name, work.in_dtype(flat, number))
                yield from work.updated(flat, ranges, partial(update, self), self.shaped)
                yield from work.counted(flat, step, self.next_totals(options, step) if flat.totals else {})

    def _prepare(
        self, work: Arrays | Recorded, flat: FlatGroup, options: OptionNames
    ) -> tuple[OptionNames, Function]:
        """What `update` gets but for `numbers`, and `update` with it and what every optimizer does before. The latter
        takes the optimizer as an argument, since it is kept there, and would make a cycle."""
        coupled = options.form == "torch" and not self.always_decoupled
        constants = self.constants(options)
        if options.weight_decay is not None:
            constants["decay"] = options.weight_decay if coupled else options.lr * options.weight_decay
        if options.clipvalue is not None:
            constants["clipvalue"] = options.clipvalue
        if (weight := self.square_weight(options)) is not None:
            constants["inverse"] = weight / (0.99 * flat.largest**0.5)  # of the largest gradient
        n = by_name(flat, {name: work.in_dtype(flat, number) for name, number in constants.items()})
        bound = weight is not None

        def prepared(opt: "Optimizer", p: Value, g: Value, state: Slots) -> Updated:
            if options.clipvalue is not None:
                g = minimum(maximum(g, -n.clipvalue), n.clipvalue)
            if options.global_clipnorm is not None:
                g = scaled(g, n.factor)
            if options.maximize:
                g = -g
            if options.weight_decay is not None:
                p, g = (p, g + n.decay * p) if coupled else (p - p * n.decay, g)
            return opt.update(n, p, work.bounded(g, n.inverse) if bound else g, state)

        return n, prepared

    def _no_gradient(self) -> str:
        names = [name for flat in self.flats for name in flat.names]
        return (
            "step: no parameter has a gradient: call loss.backward() before step(), and zero_grad() before that. "
            f"If it was called, the loss does not depend on the parameters {shortened(names, 5)}"
        )

    def _need_parameters(self, what: str) -> None:
        if not self.groups:
            raise RuntimeError(f"{what}: this {type(self).__name__} has no parameters yet: call bind(model)")

    # ---- its state ----
    @property
    def steps(self) -> int:
        """How many steps were done."""
        return int(self.flats[0].step.item()) if self.flats else 0

    def state_dict(self) -> dict[str, Tensor]:
        """A copy of everything that later steps depend on besides the parameters and the options: "steps", "lr" (of
        several groups "lr.0", "lr.1", …), and "<parameter's name>.<slot>" for each part of the state. For `tg.save`.

        A parameter's name is its path in the Module, or the name in the pair, or its position in the list; of several
        groups "<group>.<name>".
        """
        self._need_parameters("state_dict")
        return state.collect(self)

    def load_state_dict(self, saved: Mapping[str, TensorLike]) -> None:
        """Take up what `state_dict` gave, in the same optimizer of the same parameters with the same options.

        Args:
            saved: What `state_dict` gave.

        Raises:
            ValueError: That lists everything that is missing, unknown, or of another shape or dtype; nothing is changed
                then.
        """
        self._need_parameters("load_state_dict")
        state.restore(self, saved)

    def __getstate__(self) -> dict[str, object]:
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

    def _repr_html_(self) -> str:
        from tapegrad.autograd.pages.inline import table

        groups = [(f"group {i}", group.options()) for i, group in enumerate(self.groups)]
        columns = [options for _, options in groups] or [dict(self.defaults)]
        rows = [[name, *(repr(options[name]) for options in columns)] for name in columns[0]]
        counts = [["parameters", *(group.size_text() for group in self.groups)]] if groups else []
        head = [f"{type(self).__name__}, {plural(self.steps, 'step')}" if groups else type(self).__name__]
        return f"<div>{table(counts + rows, [*head, *(name for name, _ in groups)])}</div>"


answering_methods(Optimizer, "bind", "state_dict", "load_state_dict")
