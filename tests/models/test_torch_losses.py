"""Weights of rows and classes with losses under PyTorch's names: factors on what reduction="none" gives."""

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.models import NeuralClassifier, Sequential

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(24, 3))
LABELS = GENERATOR.integers(0, 3, 24)
NUMBERS = GENERATOR.normal(size=(24, 3))
SHARES = GENERATOR.dirichlet(np.ones(3), 24)
WEIGHTS = GENERATOR.uniform(0, 3, 24)
FACTORS = np.array([0.5, 2.0, 3.0])
IGNORED = np.where(np.arange(24) % 5 == 0, 1, LABELS)

# loss, options, targets, what a mean divides by (None: the number of elements)
LOSSES = {
    "squares": (nn.MSELoss, {}, NUMBERS, None),
    "distances": (nn.L1Loss, {}, NUMBERS, None),
    "smooth": (nn.SmoothL1Loss, {}, NUMBERS, None),
    "huber": (nn.HuberLoss, {}, NUMBERS, None),
    "counts": (nn.PoissonNLLLoss, {}, np.abs(NUMBERS), None),
    "logits": (nn.BCEWithLogitsLoss, {"pos_weight": FACTORS}, SHARES, None),
    "margins": (nn.SoftMarginLoss, {}, np.sign(NUMBERS), None),
    "margins of labels": (nn.MultiLabelSoftMarginLoss, {"weight": FACTORS}, np.round(SHARES), None),
    "embeddings": (nn.HingeEmbeddingLoss, {}, np.sign(NUMBERS), None),
    "divergence": (nn.KLDivLoss, {}, SHARES, None),
    "divergence of a batch": (nn.KLDivLoss, {"reduction": "batchmean"}, SHARES, lambda: 24),
    "classes": (nn.CrossEntropyLoss, {}, LABELS, None),
    "classes, weighed": (nn.CrossEntropyLoss, {"weight": FACTORS}, LABELS, lambda: FACTORS[LABELS].sum()),
    "classes, smoothed": (nn.CrossEntropyLoss, {"label_smoothing": 0.1}, LABELS, None),
    "classes, one ignored": (nn.CrossEntropyLoss, {"ignore_index": 1}, IGNORED, lambda: (IGNORED != 1).sum()),
    "shares of classes": (nn.CrossEntropyLoss, {}, SHARES, None),
    "log-probabilities": (nn.NLLLoss, {"weight": FACTORS}, LABELS, lambda: FACTORS[LABELS].sum()),
}  # fmt: skip


def model(loss, **options):
    tg.manual_seed(0)
    made = Sequential(nn.Dense(3, in_features=3, dtype="float64"))
    made.compile("sgd", loss, **options)
    return made


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("name", LOSSES)
def test_weights_of_rows(name, reduction):
    kind, options, y, divisor = LOSSES[name]
    loss = kind(**{"reduction": reduction, **options})
    made = model(loss)
    each = kind(**{**options, "reduction": "none"})(tg.tensor(made.predict(X)), tg.tensor(y)).numpy()
    total = (each * WEIGHTS.reshape(-1, *[1] * (each.ndim - 1))).sum()
    mean = total / (divisor() if divisor else each.size)
    right = total if reduction == "sum" and loss.reduction == "sum" else mean
    given = {"batch_size": 24, "verbose": 0}
    assert made.evaluate(X, y, sample_weight=WEIGHTS, **given) == pytest.approx(right, rel=1e-6)
    assert made.evaluate(X, y, sample_weight=np.ones(24), **given) == pytest.approx(
        made.evaluate(X, y, **given)
    )
    assert made.fit(X, y, sample_weight=WEIGHTS, **given)["loss"][0] == pytest.approx(right, rel=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_weights_in_a_compiled_step(name, soon):
    kind, options, y, _ = LOSSES[name]
    runs = []
    for eager in (False, True):
        made = model(kind(**options), run_eagerly=eager)
        made.fit(X, y, sample_weight=WEIGHTS, epochs=10, batch_size=8, shuffle=False, verbose=0)
        runs.append(made.get_weights()[0])
        assert eager or made.stats()["train"]["compiled"] > 0
    assert np.allclose(*runs, rtol=1e-10)


def test_weights_of_classes():
    """They are weights of the rows of these classes; the same in an estimator."""
    given = {"batch_size": 24, "verbose": 0, "epochs": 3}
    by_class, by_row = (model(nn.CrossEntropyLoss()) for _ in range(2))
    by_class.fit(X, LABELS, class_weight=dict(enumerate(FACTORS)), **given)
    by_row.fit(X, LABELS, sample_weight=FACTORS[LABELS], **given)
    assert np.allclose(by_class.get_weights()[0], by_row.get_weights()[0])

    class Net(nn.Module):
        def __init__(self):
            self.last = nn.Dense(3, in_features=3, dtype="float64")

        def forward(self, x):
            return self.last(x)

    outputs = [
        NeuralClassifier(Net, criterion=loss, class_weight=dict(enumerate(FACTORS)), random_state=0).fit(
            X, LABELS
        )
        for loss in (nn.CrossEntropyLoss(), "cross_entropy")
    ]
    assert np.allclose(*(each.predict_proba(X) for each in outputs))


def test_a_class_that_does_not_weigh():
    class Mine(nn.MSELoss):
        def forward(self, input, target):
            return ((input - target) ** 2).mean()

    made = model(Mine())
    made.fit(X, NUMBERS, verbose=0)
    with pytest.raises(TypeError, match=r"Mine: its own forward does not weigh .* return self\._reduced"):
        made.fit(X, NUMBERS, sample_weight=WEIGHTS, verbose=0)
