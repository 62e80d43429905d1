"""`tapegrad train`: a table in; a trained model, its history and a picture out."""

import argparse
import json
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np

from tapegrad import __version__
from tapegrad.autograd.diagnostics import plural
from tapegrad.backends import default_place, resolve, set_backend
from tapegrad.cli.arguments import FILES, Mistake, check_together
from tapegrad.cli.checkpoints import FOLDER, remove_checkpoint
from tapegrad.cli.fitting import Problem, Trained, fit
from tapegrad.cli.keeping import check_models, check_ours
from tapegrad.cli.preparing import Prepared, described_target, plan_table, printable, read_table
from tapegrad.cli.scores import number_scores
from tapegrad.cli.writing import all_or_nothing, check_folder
from tapegrad.data.features import FeatureEncoder
from tapegrad.data.target import TargetEncoder
from tapegrad.models.progress import is_terminal

TITLES = {"logistic": "logistic regression", "linear": "linear regression", "mlp": "neural network"}


def train(options: argparse.Namespace) -> int:
    check_together(options)
    out = Path(options.out or Path("runs", Path(options.data or "breast_cancer").stem))
    if not options.dry_run:
        check_folder(out, FILES)
    if options.backend:
        set_backend(options.backend)
    prepared = read_table(options)
    models = kinds(options.model, prepared.target)
    if not (options.dry_run or options.overwrite):
        check_models(out, models, prepared, options.target)
        check_ours([out / "history.csv", out / "history.png"], "--out")
    train_rows, test_rows = prepared.split(options.seed)
    features, problem = encode(prepared, train_rows, test_rows)
    describe(prepared, features, problem, options)
    if options.dry_run:
        print(*("", *plan_table(features)), sep="\n")
        return 0
    trained = []
    for kind in models:
        heading(TITLES[kind])
        trained.append(fit(kind, problem, options, out))
    scores = [report_scores(t, problem, prepared.target) for t in trained]
    base = baseline(problem, prepared.target)
    report_table([*scores, base])
    write(out, trained, scores, prepared, features)
    last_word(scores, base, problem)
    return 0


def encode(prepared: Prepared, train: np.ndarray, test: np.ndarray) -> tuple[FeatureEncoder, Problem]:
    """Learn the encoding from the training rows, and apply it to all."""
    column = prepared.table.columns[prepared.target.name]
    y = prepared.target.fit(column, train)
    features = prepared.features(train)
    x = features.transform(prepared.table)
    classes = len(prepared.target.classes or ())
    return features, Problem(x[train], y[train], x[test], y[test], classes)


def describe(
    prepared: Prepared, features: FeatureEncoder, problem: Problem, options: argparse.Namespace
) -> None:
    table = prepared.table
    print(f"tapegrad {__version__} on {resolve(default_place())[0].name}")
    size = f"{plural(len(features.columns), 'column')} as {plural(features.width, 'number')}"
    print(f"{table.title}: {plural(table.rows, 'row')}, {size}")
    target = described_target(prepared.target, prepared.labels())
    print(f"target {prepared.target.name!r}: {target}")
    n_train, n_test = len(problem.y_train), len(problem.y_test)
    print(f"{plural(n_train, 'row')} to train on, {n_test} to test on (seed {options.seed})")
    for note in [*prepared.notes, *features.plan_notes()]:
        print(f"note: {note}")


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
        scores = {"test accuracy": logs["accuracy"], "test loss": logs["loss"]}
    else:
        scores = {"test R2": logs["r2"], "test RMSE": logs["loss"] ** 0.5 * target.scale}
    return {"model": trained.label, **scores, "seconds": trained.seconds}


def baseline(problem: Problem, target: TargetEncoder) -> dict[str, object]:
    """The scores of the simplest guess: the most frequent class of the training rows, or their mean."""
    y, test = problem.y_train, problem.y_test
    if target.classes is not None:
        shares = np.bincount(y, minlength=problem.classes) / len(y)
        most = int(shares.argmax())
        loss = -np.log(np.maximum(shares[test], 1e-7)).mean()
        scores = {"test accuracy": float((test == most).mean()), "test loss": float(loss)}
        return {"model": f"always {printable(target.classes[most])!r}", **scores, "seconds": ""}
    guessed = number_scores(test, np.full(len(test), y.mean()))
    scores = {"test R2": guessed["R2"], "test RMSE": guessed["RMSE"] * target.scale}
    return {"model": "always the mean", **scores, "seconds": ""}


def last_word(scores: list[dict[str, object]], base: dict[str, object], problem: Problem) -> None:
    """Say of each model that is not better than the simplest guess that it is not."""
    name = "test accuracy" if problem.classes else "test R2"
    guess = str(base["model"]).replace("always", "to guess")
    for score in scores:
        # A model that guesses, too, may be ahead by rounding.
        if score[name] <= base[name] + 1e-6:  # type: ignore[operator]
            print(
                f"note: the {score['model']} is no better than {guess} ({name} {texts(score)[name]}, "
                f"{texts(base)[name]}): the columns tell little, or the rows are too few"
            )


def texts(scores: dict[str, object]) -> dict[str, str]:
    """The scores as they are shown and saved."""
    digits = {"test RMSE": ".5g", "seconds": ".2f"}
    return {
        name: value if isinstance(value, str) else format(value, digits.get(name, ".4f"))
        for name, value in scores.items()
    }


def report_table(scores: list[dict[str, object]]) -> None:
    rows = [list(scores[0]), *(list(texts(s).values()) for s in scores)]
    columns = [max(map(len, column)) for column in zip(*rows)]
    print()
    for number, row in enumerate(rows):
        text = "   ".join([row[0].ljust(columns[0]), *(c.rjust(w) for c, w in zip(row[1:], columns[1:]))])
        print(emphasized(text) if number == 0 else text.rstrip())
    print()


def write(
    out: Path,
    trained: list[Trained],
    scores: list[dict[str, object]],
    prepared: Prepared,
    features: FeatureEncoder,
) -> None:
    """The models, and the history and picture of the last one, the network where there is one."""
    last = trained[-1]
    known = prepared.state(features)
    title = prepared.table.title
    with all_or_nothing(out, FILES) as folder:
        for model, score in zip(trained, scores):
            reported = {name: text for name, text in texts(score).items() if name != "seconds"}
            text = json.dumps({**known, "scores": reported})
            model.model.save(folder / f"{model.kind}.safetensors", {"table": text})
        last.history.to_csv(folder / "history.csv")
        try:
            last.history.plot(folder / "history.png", f"{last.label}, {title}")
        except ImportError as error:
            print(f"no picture: {error}")
        written = sorted(path.name for path in folder.iterdir())
    if last.kind == "mlp":
        remove_checkpoint(out / FOLDER)
    print(f"wrote {', '.join(written)} in {out}")
    model_path = shlex.quote(str(out / f"{last.kind}.safetensors"))
    print(f"to use it: {this_command()} predict {model_path} new.csv")


def this_command() -> str:
    """How to call this program: by its name where the shell finds that, else as it was called."""
    if shutil.which("tapegrad"):
        return "tapegrad"
    called = sys.argv[0]
    return "python -m tapegrad" if called.endswith("__main__.py") else shlex.quote(called)


def heading(text: str) -> None:
    print(f"\n{emphasized(text)}")


def emphasized(text: str) -> str:
    return f"\x1b[1m{text}\x1b[0m" if is_terminal(sys.stdout) else text
