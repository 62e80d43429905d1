"""Penalties and constraints of weights, under Keras's names: `nn.Dense(64, kernel_regularizer=nn.L2(0.01))`.

A layer keeps a rule as the attribute `<weight>_regularizer` or `<weight>_constraint`, which a constructor may set and a
user, too: `layer.gamma_regularizer = nn.L2(0.01)`. Every optimizer applies the constraints of its parameters at the end
of its `step` (`autograd/limits.py`). `Sequential` adds the penalties to the loss of `fit` and `evaluate`; in a loop of
one's own, the loss is `loss_of(model(x), y) + model.penalty()`.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from tapegrad.autograd.arguments import at_least_0, one_of, probability, whole_number
from tapegrad.autograd.attributes import Check, Options
from tapegrad.autograd.filled import eye, zeros
from tapegrad.autograd.limits import apply, tell
from tapegrad.autograd.ops import abs, clip_p, maximum, some_axes, sqrt, square, sum_p, where_p
from tapegrad.autograd.signatures import signature as signature_of
from tapegrad.autograd.tensor import Parameter, Tensor
from tapegrad.backends.aliases import Function
from tapegrad.nn.aliases import Config, Sizes, WeightRuleLike
from tapegrad.nn.lengths import widened
from tapegrad.nn.lookup import Named

EPSILON = 1e-7  # Keras's, beside a norm in a denominator


class WeightRule(Options):
    """A function of a weight, with its options as attributes."""

    def config(self) -> Config:
        """The constructor's arguments that make this rule again, by name."""
        return {name: getattr(self, name) for name in signature_of(type(self)).parameters}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.config().items())})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, WeightRule) and other.config() == self.config()

    def __hash__(self) -> int:
        return hash((type(self), *self.config().values()))


# ---- penalties: weight -> a number that is added to the loss ----
class L1L2(WeightRule):
    """l1 * sum(|w|) + l2 * sum(w**2)

    Args:
        l1: The factor of the absolute values, at least 0.
        l2: The factor of the squares, at least 0.
    """

    checks = {"l1": at_least_0, "l2": at_least_0}

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1, self.l2 = l1, l2

    def __call__(self, w: Tensor) -> Tensor:
        if not self.l2:  # the sum of squares may overflow, and 0 * inf is NaN
            return L1(self.l1)(w)
        return L2(self.l2)(w) if not self.l1 else L1(self.l1)(w) + L2(self.l2)(w)


class L1(WeightRule):
    """l1 * sum(|w|): weights become 0 where they do little (Tibshirani 1996)

    Args:
        l1: The factor, at least 0.
    """

    checks = {"l1": at_least_0}

    def __init__(self, l1: float = 0.01) -> None:
        self.l1 = l1

    def __call__(self, w: Tensor) -> Tensor:
        return self.l1 * abs(w).sum()


class L2(WeightRule):
    """l2 * sum(w**2); Keras's factor, without the 1/2 of others

    Args:
        l2: The factor, at least 0.
    """

    checks = {"l2": at_least_0}

    def __init__(self, l2: float = 0.01) -> None:
        self.l2 = l2

    def __call__(self, w: Tensor) -> Tensor:
        return self.l2 * square(w).sum()


class OrthogonalRegularizer(WeightRule):
    """factor * the mean of |cos| between each two rows (or columns) of a matrix

    Args:
        factor: The factor, at least 0.
        mode: "rows" or "columns".
    """

    checks = {"factor": at_least_0, "mode": partial(one_of, known=("rows", "columns"))}

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        self.factor, self.mode = factor, mode

    def __call__(self, w: Tensor) -> Tensor:
        if w.ndim != 2:
            raise ValueError(f"OrthogonalRegularizer: expected a matrix, got a weight of shape {w.shape}")
        rows = widened(w) if self.mode == "rows" else widened(w).T
        n = rows.shape[0]
        if n < 2:
            return 0.0 * w.sum()
        length = sqrt(sum_p(square(rows), axis=(1,), keepdims=True))
        unit = rows / maximum(length, 1e-12)
        cosines = unit @ unit.T * (1.0 - eye(n, dtype=rows.dtype, device=w.device))
        return (self.factor * abs(cosines).sum() * (1.0 / (n * (n - 1)))).astype(w.dtype, copy=False)


# ---- constraints: weight -> what it becomes after a step ----
class NonNeg(WeightRule):
    """w where it is at least 0, else 0"""

    def __call__(self, w: Tensor) -> Tensor:
        return where_p(w >= 0, w, 0.0)


def _axes(name: str, axis: object) -> int | tuple[int, ...]:
    """Several axes as a tuple: a file holds lists."""
    if isinstance(axis, (list, tuple)):
        return tuple(whole_number(name, a) for a in axis)
    return whole_number(name, axis)


def _lengths(name: str, w: Tensor, axis: Sizes) -> Tensor:
    """The norms of a weight along its axes."""
    return sqrt(sum_p(square(widened(w)), axis=some_axes(name, axis, w.ndim), keepdims=True))


class MaxNorm(WeightRule):
    """w scaled where its norm along `axis` is above max_value, to that norm (Srivastava et al. 2014)

    Args:
        max_value: The largest norm, at least 0.
        axis: The axis, or a tuple of them, along which norms are taken: 0 for the inputs of each unit of a Dense.
    """

    checks = {"max_value": at_least_0, "axis": _axes}

    def __init__(self, max_value: float = 2.0, axis: Sizes = 0) -> None:
        self.max_value, self.axis = max_value, axis

    def __call__(self, w: Tensor) -> Tensor:
        norms = _lengths("MaxNorm", w, self.axis)
        factor = clip_p(norms, min=0.0, max=self.max_value) / (EPSILON + norms)
        return (w * factor).astype(w.dtype, copy=False)


class MinMaxNorm(WeightRule):
    """w scaled so that its norm along `axis` comes into [min_value, max_value]

    Args:
        min_value: The least norm, at least 0.
        max_value: The largest norm, at least min_value.
        rate: How far a norm outside goes towards its limit at each step, from 0 to 1; 1 is there at once.
        axis: The axis, or a tuple of them, along which norms are taken.
    """

    checks = {"min_value": at_least_0, "max_value": at_least_0, "rate": probability, "axis": _axes}

    def __init__(
        self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Sizes = 0
    ) -> None:
        self.min_value, self.max_value, self.rate, self.axis = min_value, max_value, rate, axis

    def agree(self) -> None:
        if self.max_value < self.min_value:
            raise ValueError(
                f"MinMaxNorm: max_value={self.max_value!r} is below min_value={self.min_value!r}"
            )

    def __call__(self, w: Tensor) -> Tensor:
        norms = _lengths("MinMaxNorm", w, self.axis)
        within = clip_p(norms, min=self.min_value, max=self.max_value)
        factor = (self.rate * within + (1.0 - self.rate) * norms) / (EPSILON + norms)
        return (w * factor).astype(w.dtype, copy=False)


class UnitNorm(WeightRule):
    """w / its norm along `axis`

    Args:
        axis: The axis, or a tuple of them, along which norms are taken.
    """

    checks = {"axis": _axes}

    def __init__(self, axis: Sizes = 0) -> None:
        self.axis = axis

    def __call__(self, w: Tensor) -> Tensor:
        return (w / (EPSILON + _lengths("UnitNorm", w, self.axis))).astype(w.dtype, copy=False)


REGULARIZERS = (L1, L2, L1L2, OrthogonalRegularizer)
CONSTRAINTS = (MaxNorm, MinMaxNorm, NonNeg, UnitNorm)
RULES: dict[str, type[WeightRule]] = {kind.__name__: kind for kind in (*REGULARIZERS, *CONSTRAINTS)}
_TABLES = {
    "regularizer": Named("regularizer", {
        "l1": L1(), "l2": L2(), "l1_l2": L1L2(0.01, 0.01), "orthogonal_regularizer": OrthogonalRegularizer(),
    }),
    "constraint": Named("constraint", {
        "max_norm": MaxNorm(), "min_max_norm": MinMaxNorm(), "non_neg": NonNeg(), "unit_norm": UnitNorm(),
    }),
}  # fmt: skip
_ENDINGS = tuple(f"_{kind}" for kind in _TABLES)


def rule(name: str, given: WeightRuleLike | type | None) -> WeightRule | Function | None:
    """The regularizer or constraint of a name, a class (with its defaults), or a function as it is; None stays None.

    name: as messages call it, such as "Dense: kernel_regularizer"
    """
    if given is None:
        return None
    if isinstance(given, type) and issubclass(given, WeightRule):
        return given()
    return _TABLES[name.rpartition("_")[2]].get(given, name)


def rules_of(*weights: str) -> dict[str, Check]:
    """The checks of the regularizer and the constraint of each weight."""
    return {f"{weight}_{kind}": rule for weight in weights for kind in _TABLES}  # type: ignore[misc]


def with_penalties(loss: Tensor, terms: list[tuple[Function, Parameter]]) -> Tensor:
    """A loss plus the penalties of weights that are trained."""
    for penalty, weight in terms:
        if weight.requires_grad:
            loss = loss + penalty(weight)
    return loss


def _refuse_without_weight(part: Any, name: str, weight: str) -> None:
    """Raise TypeError for a rule of a weight that a module has not, where it has made those that it has."""
    if made := [n for n, value in vars(part).items() if type(value) is Parameter]:
        raise TypeError(
            f"{type(part).__name__}: {name} would do nothing, for there is no weight {weight!r}; the weights are "
            f"{', '.join(made)}: write {made[0]}_{name.rpartition('_')[2]}"
        )


class Ruled:
    """What every Module has of rules."""

    _rule_weights: Mapping[
        str, str
    ] = {}  # of options that do not begin with the weight's attribute: its name

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name.endswith("_constraint") or type(value) is Parameter:
            tell(self)

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        if name.endswith("_constraint"):
            tell(self)

    def limits(self) -> list[tuple[Function, Parameter]]:
        """The constraints of this module's own weights."""
        return self._rules_of([self])["constraint"]

    def rules(self) -> dict[str, list[tuple[Function, Parameter]]]:
        """The rules of the weights in here and of all inside, each with its weight; of a shared weight once.

        Returns:
            {"regularizer": a list of pairs (rule, Parameter), "constraint": another one}.

        Raises:
            TypeError: A rule is of a weight that its layer does not have.
        """
        return self._rules_of([part for _, part in self.named_modules()], complete=True)  # type: ignore[attr-defined]

    # In a class, and by getattr: a compiled step then compares all attributes of the modules, which may be rules.
    def _rules_of(
        self, modules: list[Any], complete: bool = False
    ) -> dict[str, list[tuple[Function, Parameter]]]:
        """The same where the modules inside are known. complete: they have made all their weights."""
        found: dict[str, dict[tuple[int, int], tuple[Function, Parameter]]] = {kind: {} for kind in _TABLES}
        for part in modules:
            for name in [n for n in vars(part) if n.endswith(_ENDINGS)]:
                given = getattr(part, name)
                weight, _, kind = name.rpartition("_")
                weight = part._rule_weights.get(weight, weight)
                if complete and given is not None and weight not in vars(part):
                    _refuse_without_weight(part, name, weight)
                weight = vars(part).get(weight)
                if isinstance(given, (str, type)):
                    # A module of the user's keeps a name as it is.
                    given = vars(part)[name] = rule(f"{type(part).__name__}: {name}", given)
                if given is not None and isinstance(weight, Parameter):
                    found[kind].setdefault((id(given), id(weight)), (given, weight))
        return {kind: list(pairs.values()) for kind, pairs in found.items()}

    def penalty(self) -> Tensor:
        """The penalties of all weights inside that have a regularizer, added up: `loss + model.penalty()`.

        Weights that are not trained, and None as a regularizer, add nothing. A shared weight counts once.

        Returns:
            A Tensor of shape (), 0 where there is no regularizer.

        Raises:
            RuntimeError: A layer has not made its weights yet.
            TypeError: A rule is of a weight that its layer does not have.
        """
        weights = self.parameters()  # type: ignore[attr-defined]
        dtype, device = (weights[0].dtype, weights[0].device) if weights else (None, None)
        return with_penalties(zeros((), dtype=dtype, device=device), self.rules()["regularizer"])

    def constrain(self) -> None:
        """Apply the constraints of all weights inside, in place: after weights were set by hand. An optimizer's `step`
        does so itself.

        Raises:
            RuntimeError: A layer has not made its weights yet.
            TypeError: A rule is of a weight that its layer does not have.
        """
        self.parameters()  # type: ignore[attr-defined]
        apply(self.rules()["constraint"])
