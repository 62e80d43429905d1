"""Real tables through train, predict, evaluate and compare; scores beside those of scikit-learn on the same split."""

from pathlib import Path

import numpy as np
import pytest
from real_tables import TABLES

import tapegrad.cli.train as command
from tapegrad.cli import contestants, pictures
from tapegrad.cli.arguments import parser
from tapegrad.cli.fitting import fit
from tapegrad.data.reading import read_csv


@pytest.fixture
def problems(monkeypatch):
    """The numbers that train learned from."""
    seen, encode = [], command.encode
    monkeypatch.setattr(command, "encode", lambda *given: seen.append(encode(*given)) or seen[-1])
    return seen


def score_of(out, label):
    line = next(
        line for line in out.splitlines() if line.startswith(label) and "  " in line and line[-1].isdigit()
    )
    return float(line.removeprefix(label).split()[0])


@pytest.mark.parametrize("name", TABLES)
def test_train_predict_and_evaluate(name, folder, run, problems):
    from sklearn.linear_model import LogisticRegression, Ridge

    make, target = TABLES[name]
    make().to_csv("a.csv", index=False)
    status, out, err = run("train", "a.csv", "--target", target, "--epochs", 5, "--out", "o")
    assert (status, err) == (0, "")
    _, problem = problems[0]
    assert np.isfinite(problem.x_train).all()
    assert np.isfinite(problem.x_test).all()
    label = "logistic regression" if problem.classes else "linear regression"
    theirs = LogisticRegression(max_iter=2000, tol=1e-8) if problem.classes else Ridge(1e-6)
    theirs.fit(problem.x_train, problem.y_train)
    right = theirs.score(problem.x_test, problem.y_test)
    assert score_of(out, label) == pytest.approx(right, abs=0.011 if problem.classes else 1e-3)
    rows = read_csv("a.csv").rows
    for model in ("mlp", "logistic" if problem.classes else "linear"):
        status, out, err = run("predict", f"o/{model}.safetensors", "a.csv")
        assert status == 0
        assert len(out.splitlines()) == rows + 1
        assert ",nan" not in out and "\nnan" not in out
        status, out, err = run("evaluate", f"o/{model}.safetensors", "a.csv")
        assert (status, err) == (0, "")
        assert out.split()[1].replace(",", "") == str(rows) or "left out" in out


@pytest.mark.parametrize("name", ["iris", "penguins_sex", "statecrime", "anes96", "engel"])
def test_compare(name, folder, run):
    make, target = TABLES[name]
    make().to_csv("a.csv", index=False)
    status, out, err = run("compare", "a.csv", "--target", target, "--folds", 2, "--out", "o")
    assert (status, err) == (0, "")
    lines = [line for line in out.splitlines() if "±" in line]
    assert len(lines) == 6
    numbers = "R2" in out
    kinds = {"residuals.png"} if numbers else {"confusion.png", "roc.png"}
    found = {path.name for path in (folder / "o").iterdir()}
    assert found >= {
        "scores.csv",
        "learning_curves.png",
        *(kinds if name != "anes96" else {"learning_curves.png"}),
    }
    assert len((folder / "o/scores.csv").read_text().splitlines()) == 1 + 6 * 2


SMALL = [
    "copper",
    "engel",
    "grunfeld",
    "heart",
    "iris",
    "longley",
    "nile",
    "scotland",
    "spector",
    "statecrime",
    "strikes",
]


@pytest.mark.parametrize("name", SMALL)
def test_compare_with_small_settings(name, folder, run, monkeypatch):
    """Three kinds of model on two folds of a table: a row of finite scores each. Pictures are drawn above."""
    monkeypatch.setattr(contestants, "FEW_EPOCHS", 5)
    monkeypatch.setattr(pictures, "draw", lambda *what: None)
    make, target = TABLES[name]
    make().to_csv("a.csv", index=False)
    words = ("--target", target, "--folds", 2, "--models", "svm,neighbours,mlp", "--out", "o")
    status, out, err = run("compare", "a.csv", *words)
    assert (status, err) == (0, "")
    rows = [line for line in out.splitlines() if "±" in line]
    assert len(rows) == 4
    assert not any("nan" in row for row in rows)
    assert "batch_size" not in out


# Their scores differ less from split to split.
LARGE = (
    *("anes96", "breast_cancer", "diabetes", "digits", "fair", "modechoice", "randhie"),
    *("penguins", "penguins_mass", "penguins_raw", "penguins_sex"),
)


def default_networks(name, problems, run, seeds):
    """(scores of the network that `train` trains by default, scores of scikit-learn's), each on the splits of seeds."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    make, target = TABLES[name]
    make().to_csv("a.csv", index=False)
    ours, theirs = [], []
    for seed in seeds:
        words = ("train", "a.csv", "--target", target, "--seed", str(seed))
        assert run(*words, "--dry-run")[0] == 0
        _, problem = problems[-1]
        trained = fit("mlp", problem, parser().parse_args(words), Path("o"))
        logs = trained.model.evaluate(problem.x_test, problem.y_test, verbose=0, return_dict=True)
        ours.append(logs["accuracy" if problem.classes else "r2"])
        other = (MLPClassifier if problem.classes else MLPRegressor)(random_state=seed)
        theirs.append(other.fit(problem.x_train, problem.y_train).score(problem.x_test, problem.y_test))
    return ours, theirs


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_no_default_network_is_worse_than_scikit_learns(name, folder, run, problems):
    """Than its default MLP on the same splits, by more than its scores are apart."""
    seeds = (1, 2, 3) if name in LARGE else (1, 2, 3, 4, 5)
    ours, theirs = default_networks(name, problems, run, seeds)
    assert np.mean(ours) >= np.mean(theirs) - np.std(theirs)


@pytest.mark.parametrize("how", ["grid", "random", "halving"])
def test_a_search_chooses_settings(how, folder, run):
    make, target = TABLES["iris"]
    make().to_csv("a.csv", index=False)
    command = (
        "compare",
        "a.csv",
        "--target",
        target,
        "--folds",
        2,
        "--models",
        "svm,neighbours",
        "--search",
        how,
    )
    status, out, _ = run(*command)
    assert status == 0
    assert f"settings by {how} search inside each" in out
    assert "linear SVM: {'C': " in out


def test_compare_scores_are_scikit_learns(folder, run):
    from sklearn.datasets import load_wine
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    make, target = TABLES["wine"]
    make().to_csv("a.csv", index=False)
    out = run("compare", "a.csv", "--target", target, "--models", "neighbours", "--seed", 3)[1]
    x, y = load_wine(return_X_y=True)
    folds = StratifiedKFold(5, shuffle=True, random_state=3)
    scores = cross_val_score(make_pipeline(StandardScaler(), KNeighborsClassifier()), x, y, cv=folds)
    assert f"{scores.mean():.4f} ± {scores.std():.4f}" in out


def test_compare_names_what_it_has_not(folder, run):
    for words, said in [
        ("--models forst", "--models forst: unknown; known are logistic, linear, svm"),
        ("--models linear", "--models linear: linear is for numbers"),
        ("--folds 1", "--folds: expected a whole number of at least 2, got '1'"),
        ("--target y", "--target needs a CSV file to look into: tapegrad compare data.csv --target"),
    ]:
        status, _, err = run("compare", *words.split())
        assert status == 2
        assert said in err


def test_evaluate_names_the_lines_and_the_columns(folder, run):
    model = "o/linear.safetensors"
    run("train", "people.csv", "--target", "income", "--drop", "buys", "--model", "linear", "--out", "o")
    (folder / "n.csv").write_text("age,city,income\n40,Oslo,5\n40,Rome,much\n")
    err = run("evaluate", model, "n.csv")[2]
    assert "'income' has text on line 3, and the model gives numbers" in err
    (folder / "n.csv").write_text("Age,city\n40,Oslo\n")
    err = run("predict", model, "n.csv")[2]
    assert "'age': it has 'Age', and upper and lower case count" in err


# the target that is trained on, the table that is scored, the exit status, and what is said
EVALUATED = {
    "no target": ("buys", "age,city\n40,Oslo\n", 2, "has no column 'buys', the target, to score against"),
    "unknown classes": (
        "buys",
        "age,city,income,buys\n40,Oslo,5,maybe\n40,Rome,5,no\n",
        0,
        "1 row is of unknown classes ('maybe')",
    ),
    "unknown classes alone": (
        "buys",
        "age,city,income,buys\n40,Oslo,5,ja\n40,Rome,5,nei\n40,Rome,5,\n",
        2,
        "none of the 2 rows with a value in the target 'buys' has a class that the model knows ('no', 'yes'): the file "
        "has 'ja', 'nei'; write",
    ),
    "gaps": (
        "buys",
        "age,city,income,buys\n40,Oslo,5,\n40,Rome,5,no\n",
        0,
        "1 row has no 'buys' (line 2) and is left out",
    ),
    "gaps by a word": (
        "buys",
        "age,city,income,buys\n40,Oslo,5,NA\n40,Rome,5,no\n40,Rome,5,-\n",
        0,
        "2 rows have no 'buys' (lines 2, 4) and are left out",
    ),
    "gaps alone": (
        "buys",
        "age,city,income,buys\n40,Oslo,5,\n40,Rome,5,\n",
        2,
        "0 of the 2 rows of n.csv have a value in 'buys', the target: there is nothing to score against",
    ),
    "a word alone": (
        "buys",
        "age,city,income,buys\n40,Oslo,5,NA\n40,Rome,5,\n",
        2,
        "0 of the 2 rows of n.csv have a value in 'buys', the target (its cells hold 'NA', for a missing value)",
    ),
    "numbers, gaps": (
        "income",
        "age,city,income\n40,Oslo,-\n40,Rome,5\n",
        0,
        "1 row has no 'income' (line 2)",
    ),
    "numbers, gaps alone": (
        "income",
        "age,city,income\n40,Oslo,\n40,Rome,\n",
        2,
        "0 of the 2 rows of n.csv have",
    ),
    "numbers, a word alone": (
        "income",
        "age,city,income\n40,Oslo,n/a\n",
        2,
        "0 of the 1 row of n.csv have a value",
    ),
    "infinite": (
        "income",
        "age,city,income\n40,Oslo,5\n40,Rome,inf\n40,Rome,-1e300\n",
        2,
        "the target 'income' is infinite or beyond 1e+100 on lines 3, 4: fix",
    ),
}


@pytest.mark.parametrize("name", EVALUATED)
def test_evaluate(name, folder, run):
    target, text, expected, words = EVALUATED[name]
    model = "logistic" if target == "buys" else "linear"
    drop = [] if target == "buys" else ["--drop", "buys"]
    run("train", "people.csv", "--target", target, *drop, "--model", model, "--out", "o")
    (folder / "n.csv").write_text(text)
    status, out, err = run("evaluate", f"o/{model}.safetensors", "n.csv")
    assert status == expected
    assert words in out + err
    assert out == "" if expected else err == ""


def test_evaluate_scores_are_scikit_learns(folder, run):
    from sklearn import metrics
    from tables import people

    run("train", "people.csv", "--target", "buys", "--model", "logistic")
    predictions = [
        line.split(",")
        for line in run("predict", "runs/people/logistic.safetensors", "people.csv")[1].splitlines()
    ]
    out = run("evaluate", "runs/people/logistic.safetensors", "people.csv")[1]
    truth = [row[3] for row in people()[1:]]
    best = [row[0] for row in predictions[1:]]
    scores = [
        metrics.accuracy_score(truth, best),
        *metrics.precision_recall_fscore_support(truth, best, average="macro")[:3],
        metrics.roc_auc_score(np.array(truth) == "yes", [float(row[3]) for row in predictions[1:]]),
    ]
    line = next(line for line in out.splitlines() if line.startswith("model"))
    assert line.split()[1:] == [f"{score:.4f}" for score in scores]
    (a, b), (c, d) = metrics.confusion_matrix(truth, best)
    assert [line.split()[1:] for line in out.splitlines()[-2:]] == [[str(a), str(b)], [str(c), str(d)]]
