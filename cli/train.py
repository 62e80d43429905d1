"""`tapegrad train`: a table in; a trained model, its history and a picture out."""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from tapegrad import __version__
from tapegrad.autograd.random import manual_seed
from tapegrad.backends import default_place, resolve, set_backend
from tapegrad.cli.arguments import FILES, Mistake, check_together
from tapegrad.cli.fitting import Problem, Trained, fit
from tapegrad.cli.writing import all_or_nothing, check_folder
from tapegrad.data.features import FeatureEncoder
from tapegrad.data.splitting import train_test_indices
from tapegrad.data.table import Table, breast_cancer, listed, read_csv
from tapegrad.data.target import TargetEncoder

MIN_ROWS = 10
TEST_SIZE = 0.2


def train(options: argparse.Namespace) -> int:
    check_together(options)
    out = Path(options.out or Path("runs", Path(options.data or "breast_cancer").stem))
    check_folder(out, FILES)
    if options.backend:
        set_backend(options.backend)
    manual_seed(options.seed)

    table = read_csv(options.data) if options.data else breast_cancer()
    features, target, problem = prepare(table, options)
    trained = []
    for kind in kinds(options.model, target):
        heading(
            {"logistic": "logistic regression", "linear": "linear regression", "mlp": "neural network"}[kind]
        )
        trained.append(fit(kind, problem, options))
    scores = [report_scores(t, problem, target) for t in trained]
    report_table(scores)
    write(out, trained, scores, features, target, table)
    return 0


def prepare(table: Table, options: argparse.Namespace) -> tuple[FeatureEncoder, TargetEncoder, Problem]:
    """Split the rows, learn the encoding from the training rows, and say what was found."""
    name = options.target or "diagnosis"
    if options.data and not options.target:
        raise Mistake(f"name the column to predict with --target; {table.title} has {listed(table.columns)}")
    target_column = table.column(name)
    for dropped in options.drop:
        table.column(dropped)
    if table.rows < MIN_ROWS:
        raise Mistake(
            f"{table.title} has {table.rows} rows, and at least {MIN_ROWS} are needed to train and to test"
        )
    train, test = train_test_indices(table.rows, TEST_SIZE, options.seed % 2**32)
    target = TargetEncoder()
    y = target.fit(target_column, options.task, train.tolist())
    features = FeatureEncoder()
    features.fit(table, [n for n in table.columns if n != name and n not in options.drop], train.tolist())
    x = features.transform(table)
    kinds(options.model, target)  # a mistake is better told before the summary

    print(f"tapegrad {__version__} on {resolve(default_place())[0].name}")
    print(f"{table.title}: {table.rows} rows, {len(features.columns)} columns as {features.width} numbers")
    print(f"target {name!r}: {described(target, y)}")
    print(f"{len(train)} rows to train on, {len(test)} to test on (seed {options.seed})")
    for note in features.notes:
        print(f"note: {note}")
    problem = Problem(x[train], y[train], x[test], y[test], len(target.classes or ()))
    return features, target, problem


def described(target: TargetEncoder, y: np.ndarray) -> str:
    if target.classes is None:
        numbers = target.decode(y)
        return f"numbers from {numbers.min():g} to {numbers.max():g} (for classes: --task classification)"
    counts = [f"{name} ({int((y == i).sum())})" for i, name in enumerate(target.classes)]
    shown = ", ".join(counts[:6]) + (f" and {len(counts) - 6} more" if len(counts) > 6 else "")
    return f"{len(counts)} classes, {shown}"


def kinds(asked: str | None, target: TargetEncoder) -> tuple[str, ...]:
    """The models to train."""
    numbers = target.classes is None
    if asked == "logistic" and numbers:
        raise Mistake(
            f"--model logistic is for classes, and {target.name!r} holds numbers: --task classification, or linear"
        )
    if asked == "linear" and not numbers:
        raise Mistake(
            f"--model linear is for numbers, and {target.name!r} holds classes: --task regression, or logistic"
        )
    return (asked,) if asked else ("linear" if numbers else "logistic", "mlp")


def report_scores(trained: Trained, problem: Problem, target: TargetEncoder) -> dict[str, object]:
    """The test scores of a model, in the order of the table's columns."""
    logs = trained.model.evaluate(problem.x_test, problem.y_test, verbose=0, return_dict=True)
    if problem.classes:
        scores = {"test accuracy": f"{logs['accuracy']:.4f}", "test loss": f"{logs['loss']:.4f}"}
    else:
        scores = {"test R2": f"{logs['r2']:.4f}", "test RMSE": f"{logs['loss'] ** 0.5 * target.scale:.5g}"}
    return {"model": trained.label, **scores, "seconds": f"{trained.seconds:.2f}"}


def report_table(scores: list[dict[str, object]]) -> None:
    rows = [list(scores[0]), *(list(map(str, s.values())) for s in scores)]
    columns = [max(map(len, column)) for column in zip(*rows)]
    print()
    for number, row in enumerate(rows):
        text = "   ".join([row[0].ljust(columns[0]), *(c.rjust(w) for c, w in zip(row[1:], columns[1:]))])
        print(emphasized(text) if number == 0 else text)
    print()


def write(
    out: Path,
    trained: list[Trained],
    scores: list[dict[str, object]],
    features: FeatureEncoder,
    target: TargetEncoder,
    table: Table,
) -> None:
    """The models, and the history and picture of the last one, the network where there is one."""
    last = trained[-1]
    with all_or_nothing(out, FILES) as folder:
        for model, score in zip(trained, scores):
            known = {
                "features": features.columns,
                "target": target.state(),
                "data": table.title,
                "scores": score,
            }
            model.model.save(folder / f"{model.kind}.safetensors", {"table": json.dumps(known)})
        last.history.to_csv(folder / "history.csv")
        try:
            last.history.plot(folder / "history.png", f"{last.label}, {table.title}")
        except ImportError as error:
            print(f"no picture: {error}")
        written = sorted(path.name for path in folder.iterdir())
    print(f"wrote {', '.join(written)} in {out}")
    print(f"to use it: tapegrad predict {out / f'{last.kind}.safetensors'} new.csv")


def heading(text: str) -> None:
    print(f"\n{emphasized(text)}")


def emphasized(text: str) -> str:
    return f"\x1b[1m{text}\x1b[0m" if sys.stdout.isatty() else text
