"""Frames and series of polars are taken wherever those of pandas are, and give the same."""

import warnings
from typing import Any

import numpy as np
import polars as pl
import pytest

import tapegrad as tg
from tapegrad import models

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(60, 3))
FRAME = pl.DataFrame(ROWS, schema=["a", "b", "c"])
NUMBERS, LABELS = ROWS @ [1.0, -2.0, 0.5], (ROWS[:, 0] > 0).astype(int)

ESTIMATORS: dict[str, tuple[Any, Any]] = {
    **{name: (getattr(models, name)(), NUMBERS) for name in ("LinearRegression", "Ridge", "Lasso", "ElasticNet")},
    "LinearSVR": (models.LinearSVR(random_state=0), NUMBERS),
    "MLPRegressor": (models.MLPRegressor(max_iter=3, random_state=0), NUMBERS),
    "LogisticRegression": (models.LogisticRegression(), LABELS),
    "LinearSVC": (models.LinearSVC(random_state=0), LABELS),
    "SVC": (models.SVC(random_state=0), LABELS),
    "MLPClassifier": (models.MLPClassifier(max_iter=3, random_state=0), LABELS),
}  # fmt: skip


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimator(name: str) -> None:
    from sklearn.base import clone

    model, y = ESTIMATORS[name]
    weights = np.linspace(0.5, 1.5, 60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # three epochs do not converge
        want = clone(model).fit(ROWS, y, sample_weight=weights)
        got = clone(model).fit(FRAME, pl.Series(y), sample_weight=pl.Series(weights))
    assert list(got.feature_names_in_) == FRAME.columns
    # A frame lies in memory column by column: sums are added up in another order.
    np.testing.assert_allclose(got.predict(FRAME), want.predict(ROWS), rtol=1e-9)
    assert got.score(FRAME, pl.Series(y)) == pytest.approx(want.score(ROWS, y))
    with pytest.raises(ValueError, match="same order"):
        got.predict(FRAME.select("c", "b", "a"))


def test_labels_of_text() -> None:
    y = pl.Series(np.array(["no", "yes"])[LABELS])
    fitted = models.LogisticRegression().fit(FRAME, y.cast(pl.Categorical))
    assert list(fitted.classes_) == ["no", "yes"]
    assert fitted.score(FRAME, y) > 0.9


def trained(x: Any, y: Any, weights: Any, features: int | None = 3) -> tuple[Any, Any]:
    tg.manual_seed(0)
    model = models.Sequential([tg.nn.Dense(1, in_features=features)])
    model.compile(optimizer="adam", loss="mse", metrics=["mae"])
    history = model.fit(x, y, sample_weight=weights, validation_data=(x, y), epochs=2, verbose=0)
    return history.history, model.predict(x, verbose=0)


def test_sequential() -> None:
    weights = np.linspace(0.5, 1.5, 60)
    want, got = trained(ROWS, NUMBERS, weights), trained(FRAME, pl.Series(NUMBERS), pl.Series(weights))
    assert got[0] == want[0]
    np.testing.assert_array_equal(got[1], want[1])


def test_loaders_and_tensors() -> None:
    (x, y), *_ = tg.data.DataLoader(FRAME, pl.Series(LABELS), batch_size=16)
    np.testing.assert_array_equal(np.asarray(x), ROWS[:16].astype(np.asarray(x).dtype))
    np.testing.assert_array_equal(np.asarray(y).ravel(), LABELS[:16])
    np.testing.assert_array_equal(tg.tensor(pl.Series([1.0, None])).numpy(), [1.0, np.nan])


@pytest.mark.parametrize("make", [tg.tensor, tg.asarray, tg.Parameter])
def test_a_tensor_of_a_query_says_what_to_write(make: Any) -> None:
    with pytest.raises(
        TypeError, match=r"a LazyFrame is a query without values: write \.collect\(\)\.to_numpy\(\)"
    ):
        make(FRAME.lazy())


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("argument", ["X", "y", "sample_weight"])
def test_an_estimator_refuses_a_query(name: str, argument: str) -> None:
    from sklearn.base import clone

    model, y = ESTIMATORS[name]
    words = rf"^{argument}: a LazyFrame is a query without values: give {argument}\.collect\(\)"
    given = {"X": ROWS, "y": y, "sample_weight": None, argument: FRAME.lazy()}
    with pytest.raises(TypeError, match=words):
        clone(model).fit(**given)


def test_a_prediction_refuses_a_query() -> None:
    for model in (models.LinearRegression(), models.LogisticRegression(), models.SVC()):
        with pytest.raises(TypeError, match=r"X: a LazyFrame is a query.*X\.collect\(\)"):
            model.fit(FRAME, LABELS).predict(FRAME.lazy())


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (FRAME.lazy(), r"x: a LazyFrame is a query without values: give x\.collect\(\)"),
        (FRAME.with_columns(b=pl.lit("text")), r"x: expected numbers.*in the columns 'b'"),
        (FRAME.with_columns(b=pl.lit(None, dtype=pl.Float64)), r"60 of 60 rows hold NaN.*\('b'\)"),
    ],
)
def test_what_is_no_table_of_numbers(x: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        trained(x, NUMBERS, None)
    with pytest.raises((TypeError, ValueError), match=words):
        trained(x, NUMBERS, None, features=None)
