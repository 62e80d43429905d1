"""A training that is stopped leaves a checkpoint, says how to go on, and goes on to the same bytes."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tapegrad.cli import checkpoints
from tapegrad.models import Sequential

COMMAND = ("train", "people.csv", "--target", "buys", "--drop", "income", "--model", "mlp", "--epochs", 12)


@pytest.fixture
def stopping(monkeypatch):
    """Has Ctrl-C come at the beginning of an epoch, counted from 1; 0: never."""
    plan = {"epoch": 0}
    end = checkpoints.Checkpoints.on_epoch_end

    def on_epoch_end(self, epoch, logs=None):
        end(self, epoch, logs)
        if epoch + 2 == plan["epoch"]:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints.Checkpoints, "on_epoch_end", on_epoch_end)
    return plan


@pytest.mark.parametrize("epochs", [2, 6, 12])
def test_a_stopped_training_goes_on_to_the_same_bytes(epochs, folder, run, stopping):
    assert run(*COMMAND, "--out", "whole")[0] == 0
    stopping["epoch"] = epochs
    status, _, err = run(*COMMAND, "--out", "parts")
    assert status == 130
    assert f"stopped after epoch {epochs - 1} of 12; the checkpoint of epoch " in err
    assert "is in parts/checkpoint: to go on, repeat the command with --resume" in err
    assert not list((folder / "parts").glob("*.safetensors"))
    stopping["epoch"] = 0
    status, out, _ = run(*COMMAND, "--out", "parts", "--resume")
    assert status == 0
    assert "going on after epoch " in out
    for name in ("mlp.safetensors", "history.csv"):
        assert (folder / "whole" / name).read_bytes() == (folder / "parts" / name).read_bytes()
    assert not (folder / "parts/checkpoint").exists()


def test_a_signal_behind_the_writing_of_the_first_checkpoint(folder, run, monkeypatch):
    """The file is there, and is gone on from."""
    save = Sequential.save

    def save_and_stop(self, *args, **kwargs):
        save(self, *args, **kwargs)
        raise KeyboardInterrupt

    assert run(*COMMAND, "--out", "whole")[0] == 0
    with monkeypatch.context() as patched:
        patched.setattr(Sequential, "save", save_and_stop)
        status, _, err = run(*COMMAND, "--out", "parts")
    assert status == 130 and "the checkpoint of epoch 1 is in parts/checkpoint: to go on" in err
    assert run(*COMMAND, "--out", "parts", "--resume")[0] == 0
    whole, parts = ((folder / out / "mlp.safetensors").read_bytes() for out in ("whole", "parts"))
    assert whole == parts


def test_another_training_does_not_go_on_from_it(folder, run, stopping):
    stopping["epoch"] = 4
    run(*COMMAND, "--out", "parts")
    stopping["epoch"] = 0
    for more, words in [
        (("--lr", "0.5"), "(lr: None there, 0.5 now): repeat its command"),
        (("--seed", "7"), "seed: 42 there, 7 now"),
        (("--keep", "city", "--missing", "Oslo"), "data: "),
    ]:
        status, _, err = run(*COMMAND, "--out", "parts", "--resume", *more)
        assert status == 2
        assert words in err
    assert run(*COMMAND, "--out", "parts", "--resume")[0] == 0


def test_a_training_that_diverges_leaves_no_checkpoint(folder, run):
    command = (
        "train",
        "people.csv",
        "--target",
        "income",
        "--model",
        "mlp",
        "--lr",
        "1e30",
        "--optimizer",
        "sgd",
    )
    assert run(*command, "--out", "x")[0] == 2
    assert not (folder / "x").exists()


def test_the_last_epoch_is_not_the_one_that_is_kept(folder, run, monkeypatch):
    """The saved weights are those of the lowest validation loss."""
    status, out, _ = run(
        "train", "people.csv", "--target", "buys", "--model", "mlp", "--epochs", 60, "--lr", "0.1"
    )
    assert status == 0
    lines = (folder / "runs/people/history.csv").read_text().splitlines()
    column = lines[0].split(",").index("val_loss")
    losses = [float(line.split(",")[column]) for line in lines[1:]]
    best = min(range(len(losses)), key=losses.__getitem__) + 1
    assert f"kept the weights of epoch {best} of {len(losses)}" in out
    assert best < len(losses)


def test_one_seed_one_model_whichever_others_are_trained(folder, run):
    for out, more in (("a", ()), ("b", ("--model", "mlp"))):
        assert run("train", "people.csv", "--target", "buys", "--epochs", 3, "--out", out, *more)[0] == 0
    weights = [Sequential.load(f"{out}/mlp.safetensors").parameters()[0].tolist() for out in "ab"]
    assert weights[0] == weights[1]


def test_what_a_killed_process_left_is_removed(folder, run):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for name in (f".writing-{gone.pid}-abc", ".writing-abc", f".writing-{os.getppid()}-abc"):
        (folder / "runs/people" / name).mkdir(parents=True)
    run("train", "people.csv", "--target", "buys", "--model", "logistic")
    left = [path.name for path in (folder / "runs/people").glob(".writing-*")]
    assert left == [f".writing-{os.getppid()}-abc"]  # this one may still be at work


@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_process_that_is_told_to_stop(number, status, folder):
    words = [str(word) for word in COMMAND[:-1]]
    command = [sys.executable, "-m", "tapegrad", *words, "100000", "--out", "o", "--lr", "1e-7"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for _ in range(600):
        if (folder / "o/checkpoint/last.safetensors").exists() or process.poll() is not None:
            break
        time.sleep(0.1)
    process.send_signal(number)
    _, err = process.communicate(timeout=180)
    assert process.returncode == status, err
    assert "to go on, repeat the command with --resume" in err
    assert not list((folder / "o").glob(".writing-*"))
