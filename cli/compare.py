"""`tapegrad compare`: five kinds of model on the same folds of a table; scores, time and pictures."""

import argparse
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tapegrad.autograd.diagnostics import plural
from tapegrad.cli.arguments import Mistake, check_table
from tapegrad.cli.contestants import Contestant, contestants, searched
from tapegrad.cli.keeping import check_ours
from tapegrad.cli.preparing import Prepared, described_target, printable, read_table
from tapegrad.cli.scores import class_scores, number_scores, print_table, with_deviations
from tapegrad.cli.writing import all_or_nothing, check_folder
from tapegrad.data.table import listed
from tapegrad.models.progress import is_terminal

FILES = ("scores.csv", "roc.png", "residuals.png", "confusion.png", "learning_curves.png")
SHARES = (0.1, 0.25, 0.5, 0.75)  # of the training rows, for the learning curves; 1 is the fold itself
INNER_FOLDS = 3  # of a search


@dataclass
class Fold:
    """One part of the rows to test on, and the others to train on, as numbers."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    test: np.ndarray  # row numbers


@dataclass
class Result:
    """What a model did on every fold: `outputs` are class scores (rows, classes) or numbers, for the rows when they
    were tested; `curve` the first score for a growing share of the first fold's training rows."""

    label: str
    scores: list[dict[str, float]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)
    warned: set[str] = field(default_factory=set)
    outputs: Any = None
    curve: list[tuple[int, float]] = field(default_factory=list)

    def mean(self, name: str) -> float:
        return float(np.mean([score[name] for score in self.scores]))


def compare(options: argparse.Namespace) -> int:
    check_table(options)
    out = Path(options.out or Path("runs", f"{Path(options.data or 'breast_cancer').stem}-compare"))
    check_folder(out, FILES)
    check_ours([out / "scores.csv"], "--out")
    prepared = read_table(options)
    classes = prepared.target.classes
    models = contestants(options.models, classes is not None, prepared.table.rows, options.seed)
    folds = list(make_folds(prepared, options))
    describe(prepared, folds, options)
    steps = Steps(len(models) * (len(folds) + len(SHARES)))
    results = [run(model, folds, prepared, options, steps) for model in models]
    steps.end()
    results.append(baseline(folds, prepared))
    names = report(results)
    if options.search:
        report_settings(results)
    write(out, results, names, prepared)
    return 0


def make_folds(prepared: Prepared, options: argparse.Namespace) -> Iterator[Fold]:
    """scikit-learn's folds; the encoding of each is learned from its training rows alone."""
    from sklearn.model_selection import KFold, StratifiedKFold

    labels = prepared.labels()
    kind = KFold
    if prepared.target.classes is not None:
        counts = np.bincount(labels)
        if counts.max() >= options.folds:
            kind = StratifiedKFold
        rare = [prepared.target.classes[i] for i in np.flatnonzero((counts > 0) & (counts < options.folds))]
        if rare:
            shown_names = listed(rare, 4)
            prepared.notes.append(
                f"fewer than {options.folds} rows have the class {shown_names}: some folds have none to test"
            )
    if prepared.table.rows < 2 * options.folds:
        raise Mistake(
            f"--folds {options.folds}: {plural(prepared.table.rows, 'row')} are too few for as many folds"
        )
    splitter = kind(options.folds, shuffle=True, random_state=options.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about rare classes, which the note tells
        parts = list(splitter.split(np.zeros((len(labels), 1)), labels))
    column = prepared.table.columns[prepared.target.name]
    for train, test in parts:
        x = prepared.features(train).transform(prepared.table)
        y = prepared.target.fit(column, train)
        if prepared.target.classes is None:
            y = y * 1.0
        yield Fold(x[train], y[train], x[test], labels[test], test)


def describe(prepared: Prepared, folds: list[Fold], options: argparse.Namespace) -> None:
    table, labels = prepared.table, prepared.labels()
    features = prepared.features(np.arange(table.rows))
    width = folds[0].x_train.shape[1]
    size = f"{plural(len(features.columns), 'column')} as {plural(width, 'number')}"
    print(f"{table.title}: {plural(table.rows, 'row')}, {size}")
    print(f"target {prepared.target.name!r}: {described_target(prepared.target, labels)}")
    search = f", settings by {options.search} search inside each" if options.search else ""
    print(f"{len(folds)} folds, the same for every model (seed {options.seed}){search}")
    for note in [*prepared.notes, *features.plan_notes()]:
        print(f"note: {note}")
    print()


class Steps:
    """How far the comparison is: a bar that is redrawn on a terminal, elsewhere a line for each model."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.label = total, 0, ""
        self.live = is_terminal(sys.stdout)

    def step(self, label: str) -> None:
        self.done += 1
        if self.live:
            filled = 30 * self.done // self.total
            mark = "━" if (sys.stdout.encoding or "").lower().startswith("utf") else "="
            bar = mark * filled + " " * (30 - filled)
            sys.stdout.write(f"\r{bar} {self.done}/{self.total}  {label:<24}\x1b[K")
            sys.stdout.flush()
        elif label != self.label:
            print(f"{label} …" if (sys.stdout.encoding or "").lower().startswith("utf") else f"{label} ...")
        self.label = label

    def end(self) -> None:
        print("\r\x1b[K" if self.live else "")


def run(
    contestant: Contestant, folds: list[Fold], prepared: Prepared, options: argparse.Namespace, steps: Steps
) -> Result:
    """Train and score a model on every fold, then on parts of the first one's training rows."""
    from sklearn.base import clone

    result = Result(contestant.label)
    classes = prepared.target.classes
    rows = prepared.table.rows
    result.outputs = np.zeros((rows, len(classes)) if classes is not None else rows)
    model: Any = None
    for fold in folds:
        steps.step(contestant.label)
        model = searched(
            contestant, options.search, inner_folds(fold, classes is not None, options.seed), options.seed
        )
        start = time.perf_counter()
        with quiet(result):
            model.fit(fold.x_train, fold.y_train)
        result.seconds.append(time.perf_counter() - start)
        result.settings.append(str(getattr(model, "best_params_", "")))
        outputs = predicted(model, fold, prepared)
        result.outputs[fold.test] = outputs
        result.scores.append(scored(outputs, fold, prepared))
    first = "accuracy" if classes is not None else "R2"
    plain = clone(getattr(model, "best_estimator_", contestant.model))
    for share in SHARES:
        steps.step(contestant.label)
        part = some_rows(folds[0], share, classes is not None, options.seed)
        try:
            with quiet(result):
                smaller = clone(plain).fit(folds[0].x_train[part], folds[0].y_train[part])
            score = scored(predicted(smaller, folds[0], prepared), folds[0], prepared)[first]
        except ValueError:  # too few rows for this model: its curve begins later
            continue
        result.curve.append((len(part), score))
    result.curve.append((len(folds[0].y_train), result.scores[0][first]))
    return result


class quiet(warnings.catch_warnings):
    """Keeps what scikit-learn warns of, for one line at the end."""

    def __init__(self, result: Result) -> None:
        super().__init__(record=True)
        self.result = result

    def __enter__(self) -> Any:
        self.caught: Any = super().__enter__()
        warnings.simplefilter("always")
        return self.caught

    def __exit__(self, *error: Any) -> None:
        self.result.warned.update(str(w.message).splitlines()[0] for w in self.caught)
        super().__exit__(*error)


def inner_folds(fold: Fold, classes: bool, seed: int) -> Any:
    from sklearn.model_selection import KFold, StratifiedKFold

    if classes and np.bincount(fold.y_train).max() >= INNER_FOLDS:
        return StratifiedKFold(INNER_FOLDS, shuffle=True, random_state=seed)
    return KFold(INNER_FOLDS, shuffle=True, random_state=seed)


def some_rows(fold: Fold, share: float, classes: bool, seed: int) -> np.ndarray:
    """A share of the training rows, with at least two rows of each of two classes."""
    rows = len(fold.y_train)
    order = np.random.default_rng(seed).permutation(rows)
    part = order[: max(10, round(share * rows))]
    if classes:
        present = np.unique(fold.y_train)
        extra = [order[fold.y_train[order] == k][:2] for k in present]
        part = np.unique(np.concatenate([part, *extra]))
    return part


def predicted(model: Any, fold: Fold, prepared: Prepared) -> np.ndarray:
    """(rows, classes) scores of each class, or numbers in the target's unit."""
    classes = prepared.target.classes
    if classes is None:
        prediction = np.asarray(model.predict(fold.x_test), np.float64)
        column = prepared.table.columns[prepared.target.name]
        train = np.setdiff1d(np.arange(prepared.table.rows), fold.test)
        prepared.target.fit(column, train)
        return prepared.target.decode(prediction)
    if hasattr(model, "predict_proba"):
        p = np.asarray(model.predict_proba(fold.x_test), np.float64)
    else:
        p = np.asarray(model.decision_function(fold.x_test), np.float64)
        if p.ndim == 1:
            p = np.stack([-p, p], axis=1)
    outputs = np.full((len(p), len(classes)), min(0.0, p.min()) - 1.0)
    outputs[:, model.classes_] = p
    return outputs


def scored(outputs: np.ndarray, fold: Fold, prepared: Prepared) -> dict[str, float]:
    if prepared.target.classes is None:
        return number_scores(fold.y_test, outputs)
    return class_scores(fold.y_test, outputs.argmax(axis=1), outputs, len(prepared.target.classes))


def baseline(folds: list[Fold], prepared: Prepared) -> Result:
    """The most frequent class, or the mean, of the training rows."""
    classes, labels = prepared.target.classes, prepared.labels()
    result = Result("always the mean" if classes is None else "the most frequent class")
    for fold in folds:
        if classes is None:
            train = np.delete(labels, fold.test)
            result.scores.append(number_scores(fold.y_test, np.full(len(fold.test), train.mean())))
        else:
            outputs = np.zeros((len(fold.test), len(classes)))
            outputs[:, np.bincount(fold.y_train).argmax()] = 1.0
            result.scores.append(scored(outputs, fold, prepared))
    return result


def report(results: list[Result]) -> list[str]:
    """Print the table, best model first, and say which is best; returns the names of the scores."""
    *models, base = results
    names = list(base.scores[0])
    models.sort(key=lambda r: -r.mean(names[0]))
    rows = [["model", *(f"{name}" for name in names), "seconds a fold"]]
    columns = []
    for name in names:
        each = [[score[name] for score in result.scores] for result in [*models, base]]
        columns.append(with_deviations([float(np.mean(v)) for v in each], [float(np.std(v)) for v in each]))
    for result, *cells in zip([*models, base], *columns):
        rows.append([result.label, *cells, f"{np.mean(result.seconds):.2f}" if result.seconds else ""])
    print_table(rows)
    best, spread = models[0], float(np.std([score[names[0]] for score in models[0].scores]))
    print()
    for result in models:
        for text in sorted(result.warned)[:2]:
            print(f"note: {result.label}: {text}")
        if result.mean(names[0]) <= base.mean(names[0]):
            print(f"note: {result.label} is no better than the simplest guess ({base.label})")
    alike = [r.label for r in models[1:] if r.mean(names[0]) >= best.mean(names[0]) - spread]
    close = f"; within its spread: {', '.join(alike)}" if alike else ""
    print(f"best by {names[0]}: {best.label}{close}")
    return names


def report_settings(results: list[Result]) -> None:
    for result in results[:-1]:
        chosen = max(sorted(set(result.settings)), key=result.settings.count)
        print(f"{result.label}: {chosen} in {result.settings.count(chosen)} of {len(result.settings)} folds")


def write(out: Path, results: list[Result], names: list[str], prepared: Prepared) -> None:
    """scores.csv, a line per model and fold, and the pictures."""
    import csv

    with all_or_nothing(out, FILES) as folder:
        with open(folder / "scores.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["model", "fold", *names, "seconds"])
            for result in results:
                for i, score in enumerate(result.scores):
                    seconds = f"{result.seconds[i]:.3f}" if result.seconds else ""
                    writer.writerow([result.label, i + 1, *(repr(score[n]) for n in names), seconds])
        try:
            from tapegrad.cli.pictures import draw

            draw(
                folder,
                results[:-1],
                names[0],
                prepared.labels(),
                prepared.target,
                printable(prepared.table.title),
            )
        except ImportError as error:
            print(f"no pictures: {error}")
        written = sorted(path.name for path in folder.iterdir())
    print(f"wrote {', '.join(written)} in {out}")
