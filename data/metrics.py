"""What is reported beside the loss: `get("accuracy")`, and the others in MEANS, ROOTS and WHOLES, under Keras's names.

A metric takes predictions first and targets second, as raw arrays, batch by batch, and is exact over all rows however
they were cut into batches: a mean keeps a sum and a count, and what is no mean (AUC, R², F1) keeps the rows. Outputs
and targets must have one shape, or be columns and class numbers where that is said: nothing is broadcast.

`Sequential.compile` tells a metric whether the outputs are logits, so that its threshold of 0.5 is that of the
probability. Weights of rows and classes change the loss and no metric.
"""

from collections.abc import Mapping

from tapegrad.autograd.aliases import Array
from tapegrad.backends.aliases import Function
from tapegrad.data.metric_base import Custom, Mean, Metric, OfKeras, OfLoss, Whole
from tapegrad.data.metric_functions import CUT, LARGER_IS_BETTER, MEANS, NAMES, ROOTS, UNDEFINED, WHOLES, r2
from tapegrad.data.metric_objects import (
    AUC,
    F1,
    OBJECTS,
    R2,
    Accuracy,
    BalancedAccuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    CohenKappa,
    ConfusionMatrix,
    FBeta,
    LogLoss,
    MatthewsCorrelation,
    MeanAbsoluteError,
    MeanSquaredError,
    Precision,
    Recall,
    RootMeanSquaredError,
    SparseCategoricalAccuracy,
    TopKAccuracy,
)  # fmt: skip
from tapegrad.nn import losses
from tapegrad.nn.lookup import snake_case

__all__ = [
    "CUT", "MEANS", "NAMES", "ROOTS", "WHOLES", "Metric", "get", "OBJECTS", "AUC", "Accuracy", "BalancedAccuracy",
    "BinaryAccuracy", "CategoricalAccuracy", "CohenKappa", "ConfusionMatrix", "F1", "FBeta", "LogLoss",
    "MatthewsCorrelation", "MeanAbsoluteError", "MeanSquaredError", "Precision", "R2", "Recall",
    "RootMeanSquaredError", "SparseCategoricalAccuracy", "TopKAccuracy",
]  # fmt: skip


def get(
    metric: str | Function | Metric,
    *,
    threshold: float | None = None,
    name: str | None = None,
    **options: object,
) -> Metric:
    """The metric of a name (any case), of a function, of a loss, or a Metric as it is.

    threshold   the probability above which an output counts as positive, for accuracy, precision, recall and f1; None
                for 0.5
    name        what it is called in logs
    options     those of the class, for the names of objects: get("f_beta", beta=2.0)

    A function of your own is called as Keras does, (y_true, y_pred), with the Tensors of a batch, and averaged over
    the batches. scikit-learn's functions get all rows at once, as NumPy arrays. An object with Keras's `update_state`,
    `result` and `reset_state` is taken, too.
    """
    kind = OBJECTS.get(snake_case(metric)) if isinstance(metric, str) else None
    if kind is not None:
        given = {"threshold": threshold, "name": name}
        return kind(**{k: v for k, v in given.items() if v is not None}, **options)
    if options:
        raise TypeError(f"metrics: {metric!r} takes no {next(iter(options))}")
    made = _made(metric, threshold)
    if name is not None:
        if made is metric:
            raise ValueError(f"metrics: name: the metric {made.name!r} is made already: set its .name")
        made.name = name
        made.spec = None if made.spec is None else made.spec | {"name": name}
    return made


def larger_is_better(name: str, measured: Mapping[str, bool | None]) -> bool | None:
    """Whether more of a number in the logs is better; None where that is not known.

    A metric of that name knows it; else the number is what a metric of tapegrad's has that name, "loss" or "score".

    name       with or without val_
    measured   `larger_is_better` of the metrics, by name
    """
    plain = name.removeprefix("val_")
    for called in (name, plain):
        if (known := measured.get(called)) is not None:
            return known
    by_name = {"loss": False, "score": True, **{n: kind.larger_is_better for n, kind in OBJECTS.items()}}
    by_name |= {n: LARGER_IS_BETTER[function] for n, function in {**MEANS, **ROOTS, **WHOLES}.items()}
    return by_name.get(plain.lower())


def _by_its_ending(name: str) -> bool | None:
    """Whether more is better of one of scikit-learn's functions, by the endings that it gives them."""
    if name in ("matthews_corrcoef", "davies_bouldin_score"):
        return name == "matthews_corrcoef"
    if name.endswith("_score"):
        return True
    return False if name.endswith(("_error", "_loss", "_deviance")) else None


def _made(metric: str | Function, threshold: float | None) -> Metric:
    if isinstance(metric, str):
        for name in (metric, snake_case(metric)):  # "BinaryAccuracy" is Keras's class
            if name.lower() in {**MEANS, **ROOTS, **WHOLES}:
                return _named(name, threshold)
    if not isinstance(metric, str) and callable(metric) and _is_ours(metric):
        return _named(NAMES[metric], threshold)
    if threshold is not None:
        raise ValueError(f"metrics: {metric!r} has no threshold: those that have one are {', '.join(_cut())}")
    if isinstance(metric, Metric):
        return metric
    if isinstance(metric, str) and metric.lower() in ("cosine_similarity", "cosinesimilarity"):
        raise ValueError(
            "metrics: 'cosine_similarity' is a loss here, -1 for equal directions: write a function (y_true, y_pred)"
        )
    if isinstance(metric, str) or losses.our_function(metric) is not None:
        return _of_loss(metric)
    if isinstance(metric, type):
        raise TypeError(
            f"metrics: expected an object, got the class {metric.__name__}: write {metric.__name__}()"
        )
    if hasattr(metric, "update_state"):
        return OfKeras(metric)
    if not callable(metric):
        raise TypeError(f"metrics: expected names or functions of (y_true, y_pred), got {metric!r}")
    if str(getattr(metric, "__module__", "")).startswith("sklearn.metrics"):
        whole = Whole(metric.__name__, _of_scikit_learn(metric), binary=False, cuts=False)
        whole.given = metric
        whole.larger_is_better = _by_its_ending(metric.__name__)
        return whole
    custom = Custom(metric)
    if isinstance(metric, losses.Loss):
        custom.larger_is_better = False
    return custom


def _of_scikit_learn(metric: Function) -> Function:
    def measure(outputs: Array, targets: Array) -> float:
        try:
            return metric(targets, outputs)
        except ValueError as error:
            raise ValueError(
                f"metrics: {metric.__name__}: {error}: it is given the model's outputs, here of shape {outputs.shape}: "
                "write a function (y_true, y_pred) that makes classes of them, as "
                f"{metric.__name__}(y_true, y_pred > 0.5)"
            ) from error

    return measure


def _is_ours(metric: object) -> bool:
    try:
        return metric in NAMES
    except TypeError:  # not hashable
        return False


def _cut() -> list[str]:
    return [name for name, function in {**MEANS, **WHOLES}.items() if function in CUT]


def _named(metric: str, threshold: float | None) -> Metric:
    name = metric.lower()
    function = {**MEANS, **ROOTS, **WHOLES}[name]
    if threshold is not None and (function not in CUT or not 0 < threshold < 1):
        expected = (
            f"those that have one are {', '.join(_cut())}"
            if function not in CUT
            else "expected one from 0 to 1"
        )
        raise ValueError(f"metrics: {metric}: threshold={threshold!r}: {expected}")
    made: Metric
    if name in WHOLES:
        made = Whole(
            metric,
            function,
            binary=function is not r2,
            cuts=function in CUT,
            threshold=threshold,
            undefined=UNDEFINED.get(function),
        )
    else:
        made = Mean(metric, function, root=name in ROOTS, threshold=threshold)
    made.larger_is_better = LARGER_IS_BETTER[function]
    made.spec = {"metric": metric} | ({} if threshold is None else {"threshold": threshold})
    return made


def _of_loss(metric: str | Function) -> Metric:
    try:
        loss = losses.get(metric)
    except ValueError as error:
        known = ", ".join({**MEANS, **ROOTS, **WHOLES, **OBJECTS})
        raise ValueError(
            f"metrics: unknown name {metric!r}; known: {known}, and the names of losses (tapegrad.nn.losses)"
        ) from error
    if isinstance(metric, str):
        made = OfLoss(metric, loss)
        made.spec = {"metric": metric}
        return made
    function = losses.our_function(metric) or metric
    return OfLoss(getattr(metric, "name", None) or function.__name__, metric)
