"""The models that `tapegrad compare` compares: scikit-learn's, and the network of tapegrad."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tapegrad.cli.arguments import COMPARED, Mistake
from tapegrad.cli.fitting import FEW, FEW_EPOCHS, HIDDEN, VALIDATION, epochs_for


@dataclass(frozen=True)
class Contestant:
    """`grid` holds the settings that --search chooses from."""

    name: str
    label: str
    model: Any
    grid: Mapping[str, Sequence[object]]


def contestants(asked: tuple[str, ...], classes: bool, rows: int, seed: int) -> list[Contestant]:
    """Those asked for, or all five. Mistake for a name that is none, or not for this kind of target."""
    if unknown := [name for name in asked if name not in COMPARED]:
        raise Mistake(f"--models {unknown[0]}: unknown; known are {', '.join(COMPARED)}")
    made = (classifiers if classes else regressors)(rows, seed)
    if wrong := [name for name in asked if name not in [c.name for c in made]]:
        other = "linear" if classes else "logistic"
        kind = "numbers" if classes else "classes"
        raise Mistake(f"--models {wrong[0]}: {other} is for {kind}: leave it out, or choose another --task")
    return [c for c in made if not asked or c.name in asked]


def classifiers(rows: int, seed: int) -> list[Contestant]:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import LinearSVC

    from tapegrad.models import MLPClassifier

    strengths = {"C": [0.01, 0.1, 1.0, 10.0]}
    return [
        Contestant("logistic", "logistic regression", LogisticRegression(max_iter=1000), strengths),
        Contestant("svm", "linear SVM", LinearSVC(random_state=seed, max_iter=10_000), strengths),
        Contestant("neighbours", "k-nearest neighbours", KNeighborsClassifier(), NEIGHBOURS),
        Contestant("forest", "random forest", RandomForestClassifier(random_state=seed), FOREST),
        Contestant("mlp", "MLP", network(MLPClassifier, rows, seed), MLP),
    ]


def regressors(rows: int, seed: int) -> list[Contestant]:
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.linear_model import Ridge
    from sklearn.neighbors import KNeighborsRegressor
    from sklearn.svm import LinearSVR

    from tapegrad.models import MLPRegressor

    svm = LinearSVR(random_state=seed, dual="auto", max_iter=10_000)
    return [
        Contestant("linear", "linear regression", Ridge(alpha=1e-3), {"alpha": [1e-3, 0.1, 1.0, 10.0]}),
        Contestant("svm", "linear SVM", svm, {"C": [0.01, 0.1, 1.0, 10.0]}),
        Contestant("neighbours", "k-nearest neighbours", KNeighborsRegressor(), NEIGHBOURS),
        Contestant("forest", "random forest", RandomForestRegressor(random_state=seed), FOREST),
        Contestant("mlp", "MLP", network(MLPRegressor, rows, seed), MLP),
    ]


NEIGHBOURS: dict[str, list[object]] = {"n_neighbors": [3, 5, 11, 21], "weights": ["uniform", "distance"]}
FOREST: dict[str, list[object]] = {"max_features": ["sqrt", 0.5, 1.0], "min_samples_leaf": [1, 3, 10]}
MLP: dict[str, list[object]] = {"hidden_layer_sizes": [(32,), (64, 32), (128, 64)], "batch_size": [16, 64]}


def network(kind: Any, rows: int, seed: int) -> Any:
    """As `tapegrad train` trains it: epochs by the number of rows, the best weights kept where rows are held out."""
    if rows < FEW:
        # By default 200 rows are a batch, or all of them, as many as there are in a fold.
        return kind(hidden_layer_sizes=HIDDEN, epochs=FEW_EPOCHS, random_state=seed)
    return kind(
        hidden_layer_sizes=HIDDEN,
        batch_size=32,
        epochs=epochs_for(rows, 32),
        early_stopping=True,
        validation_fraction=max(VALIDATION, min(0.3, 4 / rows)),
        n_iter_no_change=15,
        random_state=seed,
    )


def searched(contestant: Contestant, how: str | None, folds: object, seed: int) -> Any:
    """The model, or one that first chooses its settings by cross-validation inside the rows it is given."""
    from sklearn.base import clone

    model = clone(contestant.model)
    if how is None:
        return model
    if how == "grid":
        from sklearn.model_selection import GridSearchCV

        return GridSearchCV(model, contestant.grid, cv=folds)
    if how == "random":
        from sklearn.model_selection import RandomizedSearchCV

        return RandomizedSearchCV(model, contestant.grid, n_iter=4, cv=folds, random_state=seed)
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401
    from sklearn.model_selection import HalvingGridSearchCV

    return HalvingGridSearchCV(model, contestant.grid, cv=folds, random_state=seed, factor=3)
