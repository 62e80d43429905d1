"""What a command would not write itself it does not write over: one line, exit status 2, and every byte stays."""

from pathlib import Path

import numpy as np
import pytest
from tables import write

import tapegrad as tg
from tapegrad.cli import checkpoints

BUYS = "train people.csv --target buys"
CITIES = "train people.csv --target city --model logistic"
# What was done before, the command, and what the message says.
KEPT = {
    "another target": (
        [BUYS],
        "train people.csv --target income --drop buys",
        "logistic.safetensors was trained on another target ('buys'; now 'income') and stays as it is: name another "
        "folder with --out, or replace it with --overwrite",
    ),
    "another target in a folder of one's own": (
        [f"{BUYS} --out o"],
        f"{CITIES} --out o",
        "o/logistic.safetensors was trained on another target",
    ),
    "numbers for classes": (
        ["train ints.csv --target y --model mlp"],
        "train ints.csv --target y --model mlp --task regression",
        "mlp.safetensors was trained on 'y' as classes (now numbers)",
    ),
    "another table of the same name": (
        ["train ints.csv --target y --model logistic"],
        "train there/ints.csv --target y --model logistic",
        "was trained on another table (ints.csv: no column but 'y' is in there/ints.csv)",
    ),
    "a model that would be removed": (
        [BUYS],
        f"{BUYS} --model logistic",
        "mlp.safetensors is of an earlier training, which this one would remove",
    ),
    "a model of a program": (
        ["program"],
        f"{BUYS} --model mlp --out mine",
        "mine/mlp.safetensors was not written by `tapegrad train`",
    ),
    "a checkpoint of another target": (
        ["stopped"],
        "train people.csv --target income --model mlp --epochs 4",
        "last.safetensors is of a stopped training of another target ('buys')",
    ),
    "a table of one's own": (["own"], f"{BUYS} --model logistic --out mine", "mine/history.csv was not written by"),
    "a picture of one's own": (["own"], f"{BUYS} --model logistic --out there", "there/history.png was not written by"),
    "a file where checkpoints would be": (
        ["own"],
        f"{BUYS} --model mlp --out runs",
        "runs/checkpoint is a file where checkpoints would be written",
    ),
    "a network of one's own, called as a checkpoint": (
        ["program"],
        f"{BUYS} --model mlp --out there",
        "there/checkpoint/last.safetensors was not written by `tapegrad train`",
    ),
    "scores of one's own": (["own"], "compare people.csv --target buys --out mine", "mine/scores.csv was not written"),
    "a program of one's own": (
        ["own", f"{BUYS} --model logistic"],
        "source runs/people/logistic.safetensors --save mine/prog.py",
        "mine/prog.py was not written by this command and stays as it is: choose another place with --save",
    ),
    "a page of one's own": (["own"], "tape mine/prog.py", "prog.html was not written by this command"),
    "a page of one's own, named": (["own"], "tape mine/prog.py --out mine/a.htm", "a.htm was not written by"),
}  # fmt: skip
PROGRAM = "import tapegrad as tg\nw = tg.ones(2, requires_grad=True)\n(w * w).sum().backward()\n"


def do(what, run, monkeypatch):
    """Run a command, or make files of the user's."""
    if what == "program":
        tg.save("mine/mlp.safetensors", {"a": np.zeros(2)})
        Path("there/checkpoint").mkdir()
        tg.save("there/checkpoint/last.safetensors", {"a": np.zeros(2)})
    elif what == "own":
        Path("runs").mkdir()
        for name in (
            "there/history.png",
            "runs/checkpoint",
            "mine/history.csv",
            "mine/scores.csv",
            "mine/a.htm",
            "prog.html",
        ):
            Path(name).write_text("mine\n")
        Path("mine/prog.py").write_text(PROGRAM)
    elif what == "stopped":

        def on_epoch_end(self, epoch, logs=None):
            self.logs.append(dict(logs))
            self.write(epoch + 1)
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(checkpoints.Checkpoints, "on_epoch_end", on_epoch_end)
            assert run(*f"{BUYS} --model mlp --epochs 4".split())[0] == 130
    else:
        assert run(*what.split())[0] == 0


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def tables(folder):
    for name in ("there", "mine"):
        Path(name).mkdir()
    write("ints.csv", [["x", "y"], *([i, i % 3] for i in range(40))])
    write("there/ints.csv", [["z", "y"], *([i, i % 3] for i in range(40))])
    return folder


@pytest.mark.parametrize("case", KEPT)
def test_what_differs_in_kind_stays(case, tables, run, monkeypatch):
    before, command, words = KEPT[case]
    for what in before:
        do(what, run, monkeypatch)
    old = contents(tables)
    status, out, err = run(*command.split())
    assert (status, err.count("\n")) == (2, 1), out + err
    assert words in err
    assert contents(tables) == old
    if "--overwrite" in err:
        assert run(*command.split(), "--overwrite")[0] == 0
        assert contents(tables) != old
        # A dry run writes nothing, and need not be allowed to.
        assert run(*command.split(), "--dry-run")[0] == 0


AGAIN = {
    "the same training": (CITIES, CITIES),
    "other columns and rows": (CITIES, f"{CITIES} --drop age --seed 3"),
    "one model more": (f"{BUYS} --model logistic", BUYS),
    "the same comparison": (*["compare people.csv --target buys --models svm --folds 2"] * 2,),
    "the same step": (CITIES, *["source runs/people/logistic.safetensors --save step.py"] * 2),
    "the same page": (*["tape there/prog.py"] * 2,),
}


@pytest.mark.parametrize("case", AGAIN)
def test_the_same_again_is_written_over(case, tables, run):
    Path("there/prog.py").write_text(PROGRAM)
    for command in AGAIN[case]:
        status, _, err = run(*command.split())
        assert status == 0, err


def test_a_checkpoint_goes_and_what_lies_beside_it_stays(tables, run, monkeypatch):
    do("stopped", run, monkeypatch)
    folder = Path("runs/people/checkpoint")
    (folder / "notes.txt").write_text("mine")
    (folder / "best-model.safetensors").write_text("mine")
    assert run(*f"{BUYS} --model logistic".split())[0] == 0
    # Of the network, which this one did not train.
    assert (folder / checkpoints.LAST).exists()
    status, out, _ = run(*f"{BUYS} --model mlp --epochs 2 --overwrite".split())
    assert status == 0 and "beginning anew: the checkpoint in" in out
    assert sorted(path.name for path in folder.iterdir()) == ["best-model.safetensors", "notes.txt"]


@pytest.mark.parametrize(
    "twice", ["--model linear --model mlp", "--target buys --target income", "--seed 1 --seed=1"]
)
def test_an_option_that_is_given_twice(twice, tables, run):
    status, _, err = run("train", "people.csv", *twice.split())
    assert status == 2 and f"argument {twice[:7].split()[0]}" in err and "give it once" in err
