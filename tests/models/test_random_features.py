"""`SVC` with a Gaussian kernel: its scores are near scikit-learn's, or a warning says why not and what to set."""

import re
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_iris, load_wine, make_moons
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC as Exact

from tapegrad.models import SVC

DATA = {
    "iris": load_iris(return_X_y=True),
    "wine": load_wine(return_X_y=True),
    "wine, standardized": (StandardScaler().fit_transform(load_wine().data), load_wine().target),
    "moons": make_moons(300, noise=0.2, random_state=0),
}
# data, gamma -> whether it is warned of
LARGE = {
    ("iris", "scale"): False,
    ("iris", "auto"): False,
    ("iris", 1.0): False,
    ("iris", 10.0): True,
    ("wine", "auto"): True,
    ("wine", 1.0): True,
    ("wine", 1e3): True,
    ("wine, standardized", "scale"): False,
    ("wine, standardized", "auto"): False,
    ("wine, standardized", 1.0): True,
    ("moons", "scale"): False,
    ("moons", 10.0): False,
    ("moons", 100.0): True,
}


def fitted(x, y, **options):
    """(the estimator, what was warned of)."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        made = SVC(random_state=0, **options).fit(x, y)
    assert all(w.filename == __file__ for w in said)
    return made, " ".join(str(w.message) for w in said)


@pytest.mark.parametrize(("name", "gamma"), LARGE)
def test_a_gamma_that_the_features_cannot_follow_is_told(name, gamma):
    x, new, y, right = train_test_split(*DATA[name], random_state=0, stratify=DATA[name][1])
    ours, said = fitted(x, y, gamma=gamma)
    assert bool(said) is LARGE[name, gamma]
    if not said:
        assert ours.score(new, right) > Exact(gamma=gamma).fit(x, y).score(new, right) - 0.03
        return
    assert "is large for these rows" in said and "or sklearn.svm.SVC" in said
    # What the warning says to set is not warned of.
    assert not fitted(x, y, gamma="scale")[1]
    for components in re.findall(r"n_components=(\d+)", said):
        assert not fitted(x, y, gamma=gamma, n_components=int(components))[1]


@pytest.mark.parametrize("rows", [[0, 50], [0, 50, 100], [0, 0, 50, 50]])
def test_few_rows_and_equal_ones(rows):
    x, y = DATA["iris"]
    assert fitted(x[rows], y[rows])[0].score(x[rows], y[rows]) == 1


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_rows_that_overflow_are_refused(kernel):
    x, y = DATA["iris"]
    with pytest.raises(ValueError, match="their squares overflow: scale X"):
        SVC(random_state=0, kernel=kernel).fit(1e200 * x, y)


def test_rows_without_weight_do_not_count():
    x, y = DATA["iris"]
    far = np.vstack([x, x + 1e6])
    weights = np.repeat([1.0, 0.0], len(x))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = SVC(random_state=0).fit(far, np.tile(y, 2), weights)
    assert made.score(x, y) > 0.9
