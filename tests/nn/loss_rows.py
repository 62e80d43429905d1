"""The table of losses: one row per function and option, run by every test that concerns all of them."""

from typing import Any, NamedTuple

import numpy as np

import tapegrad as tg
from tapegrad import nn

F = nn.functional
N, D = 6, 4
RNG = np.random.default_rng(3)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


REAL = RNG.normal(0, 1.5, (N, D))
MADE = {  # predictions and targets by kind
    "real": REAL,
    "near": REAL + np.array([0.3, -2.5, 0.05, 1.6]),  # differences below and above 1, none at it
    "probability": 1 / (1 + np.exp(-REAL)),
    "distribution": softmax(0.5 * REAL),
    "positive": np.exp(REAL),
    "binary": (RNG.random((N, D)) < 0.5).astype(float),
    "between": RNG.random((N, D)),
    "signs": np.sign(RNG.normal(size=(N, D))),
    "counts": RNG.integers(0, 6, (N, D)).astype(float),
    "one_hot": np.eye(D)[RNG.integers(0, D, N)],
    "mixture": softmax(RNG.normal(size=(N, D))),
    "classes": RNG.integers(0, D, N),
}
MADE["logs"] = REAL - np.log(np.exp(REAL).sum(-1, keepdims=True))
MADE["distance"] = np.abs(REAL)
FACTORS = np.array([0.5, 1.0, 2.0, 0.25])


class Row(NamedTuple):
    name: str  # of the function in F
    keras: str  # Keras's function; "" where it has none
    keras_class: str
    prediction: str  # kinds of MADE
    target: str
    options: dict[str, Any] = {}
    keras_options: dict[str, Any] | None = None  # where they differ
    smooth: bool = True  # twice differentiable at these points
    extreme: tuple[float, float] | None = (-1e4, 1e4)  # predictions at which float32 must stay finite
    torch: Any = (
        None  # where Keras has none: (torch, its functional, prediction, target) -> a loss for each sample
    )


ROWS = [
    Row("mse_loss", "mean_squared_error", "MeanSquaredError", "real", "near"),
    Row("mae_loss", "mean_absolute_error", "MeanAbsoluteError", "real", "near"),
    Row("mape_loss", "mean_absolute_percentage_error", "MeanAbsolutePercentageError", "real", "near"),
    Row("msle_loss", "mean_squared_logarithmic_error", "MeanSquaredLogarithmicError", "positive", "counts"),
    Row("huber_loss", "huber", "Huber", "real", "near"),
    Row("huber_loss", "huber", "Huber", "real", "near", {"delta": 0.2}),
    Row("log_cosh", "log_cosh", "LogCosh", "real", "near"),
    Row("poisson", "poisson", "Poisson", "positive", "counts", extreme=(0, 1e4)),
    Row("cosine_similarity", "cosine_similarity", "CosineSimilarity", "real", "near"),
    Row("binary_cross_entropy", "binary_crossentropy", "BinaryCrossentropy", "probability", "binary", extreme=(0, 1)),
    Row("binary_cross_entropy", "binary_crossentropy", "BinaryCrossentropy", "probability", "between",
        {"label_smoothing": 0.2}, extreme=(0, 1)),
    Row("binary_cross_entropy", "binary_crossentropy", "BinaryCrossentropy", "real", "binary", {"from_logits": True}),
    Row("binary_cross_entropy_with_logits", "binary_crossentropy", "BinaryCrossentropy", "real", "between",
        {"label_smoothing": 0.1}, {"label_smoothing": 0.1, "from_logits": True}),
    Row("categorical_crossentropy", "categorical_crossentropy", "CategoricalCrossentropy", "distribution", "one_hot",
        extreme=(0, 1)),
    Row("categorical_crossentropy", "categorical_crossentropy", "CategoricalCrossentropy", "probability", "mixture",
        {"label_smoothing": 0.1}, extreme=(0, 1)),  # rows that do not sum to 1
    Row("categorical_crossentropy", "categorical_crossentropy", "CategoricalCrossentropy", "real", "mixture",
        {"from_logits": True}),
    Row("cross_entropy", "categorical_crossentropy", "CategoricalCrossentropy", "real", "mixture",
        {"label_smoothing": 0.3}, {"label_smoothing": 0.3, "from_logits": True}),
    Row("cross_entropy", "sparse_categorical_crossentropy", "SparseCategoricalCrossentropy", "real", "classes",
        {}, {"from_logits": True}),
    Row("sparse_categorical_crossentropy", "sparse_categorical_crossentropy", "SparseCategoricalCrossentropy",
        "distribution", "classes", extreme=(0, 1)),
    Row("sparse_categorical_crossentropy", "sparse_categorical_crossentropy", "SparseCategoricalCrossentropy", "real",
        "classes", {"from_logits": True}),
    Row("hinge", "hinge", "Hinge", "real", "signs"),
    Row("hinge", "hinge", "Hinge", "real", "binary"),
    Row("squared_hinge", "squared_hinge", "SquaredHinge", "real", "signs"),
    Row("categorical_hinge", "categorical_hinge", "CategoricalHinge", "real", "one_hot"),
    Row("kl_divergence", "kl_divergence", "KLDivergence", "distribution", "mixture", extreme=(0, 1)),
    *(Row("binary_focal_crossentropy", "binary_focal_crossentropy", "BinaryFocalCrossentropy", "probability", target,
          options, extreme=(0, 1)) for target, options in (
        ("binary", {}), ("between", {"gamma": 1.5, "label_smoothing": 0.1}),
        ("binary", {"apply_class_balancing": True, "alpha": 0.3}))),
    Row("binary_focal_crossentropy", "binary_focal_crossentropy", "BinaryFocalCrossentropy", "real", "binary",
        {"from_logits": True}),
    *(Row("categorical_focal_crossentropy", "categorical_focal_crossentropy", "CategoricalFocalCrossentropy",
          "distribution", target, options, extreme=(0, 1)) for target, options in (
        ("one_hot", {}), ("mixture", {"gamma": 3.0, "alpha": 0.7, "label_smoothing": 0.1}))),
    Row("categorical_focal_crossentropy", "categorical_focal_crossentropy", "CategoricalFocalCrossentropy", "real",
        "one_hot", {"from_logits": True, "alpha": [0.1, 0.2, 0.3, 0.4]}),
    Row("sparse_categorical_crossentropy", "sparse_categorical_crossentropy", "SparseCategoricalCrossentropy", "real",
        "classes", {"from_logits": True, "ignore_class": int(MADE["classes"][0])}),
    *(Row("smooth_l1_loss", "", "", "real", "near", {"beta": beta},
          torch=lambda torch, f, p, t, beta=beta: f.smooth_l1_loss(p, t, beta=beta, reduction="none").mean(-1))
      for beta in (1.0, 0.2, 0.0)),
    *(Row("quantile_loss", "", "", "real", "near", {"quantile": q},
          torch=lambda torch, f, p, t, q=q: torch.where(t > p, q * (t - p), (1 - q) * (p - t)).mean(-1))
      for q in (0.5, 0.1, 0.9)),
    *(Row("contrastive_loss", "", "", "distance", target, {"margin": 1.5}, extreme=(0, 1e4),
          torch=lambda torch, f, p, t: (t * p**2 + (1 - t) * (1.5 - p).clamp(min=0) ** 2).mean(-1))
      for target in ("binary", "between")),
    *(Row("binary_cross_entropy_with_logits", "", "", "real", target, {"pos_weight": weight},
          torch=lambda torch, f, p, t, w=weight: f.binary_cross_entropy_with_logits(
              p, t, pos_weight=torch.tensor(w), reduction="none").mean(-1))
      for target, weight in (("binary", 3.0), ("between", FACTORS))),
    *(Row(name, "", "", prediction, "classes", options, extreme=extreme,
          torch=lambda torch, f, p, t, name=name, o=options: getattr(f, name)(
              p, t, weight=torch.tensor(o.get("class_weight", np.ones(D))), reduction="none",
              ignore_index=o.get("ignore_index", -100)))
      for name, prediction, extreme in (("cross_entropy", "real", (-1e4, 1e4)), ("nll_loss", "logs", (-1e4, 0)))
      for options in ({"class_weight": FACTORS}, {"ignore_index": int(MADE["classes"][0])},
                      {"class_weight": FACTORS, "ignore_index": int(MADE["classes"][1])})),
    Row("cross_entropy", "", "", "real", "mixture", {"class_weight": FACTORS, "label_smoothing": 0.2},
        torch=lambda torch, f, p, t: f.cross_entropy(p, t, weight=torch.tensor(FACTORS), label_smoothing=0.2,
                                                     reduction="none")),
    Row("nll_loss", "", "", "logs", "classes", extreme=(-1e4, 0),
        torch=lambda torch, f, p, t: f.nll_loss(p, t, reduction="none")),
]  # fmt: skip
KERAS_ROWS = [row for row in ROWS if row.keras]


def named(row: Row) -> str:
    shown = (f"{k}={v}" if isinstance(v, float) else k for k, v in row.options.items())
    return "-".join([row.name, row.prediction, row.target, *shown])


def target_of(row: Row, dtype: str = "float64") -> np.ndarray:
    made = MADE[row.target]
    return made if made.dtype.kind == "i" else made.astype(dtype)


def call(row: Row, target: Any = None, device: str | None = None, **options: Any) -> Any:
    t = target_of(row) if target is None else target
    return lambda p: getattr(F, row.name)(p, tg.tensor(t, device=device), **row.options, **options)
