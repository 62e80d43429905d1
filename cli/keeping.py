"""What a command does not write over without being told to: what it would not write itself."""

import json
from collections.abc import Iterable
from pathlib import Path

from tapegrad.autograd.files import FileError, read_metadata
from tapegrad.autograd.pages.page import POLICY
from tapegrad.cli.arguments import MODELS, Mistake
from tapegrad.cli.checkpoints import FOLDER, LAST
from tapegrad.cli.preparing import Prepared
from tapegrad.data.aliases import PlainData

# What stands in the first line of each, for those that are not models.
MARKS = {
    ".py": "as recorded by tapegrad",
    ".html": POLICY,
    ".htm": POLICY,
    "scores.csv": "model,fold,",
    "history.csv": "epoch,",
}


def check_ours(paths: Iterable[Path], option: str) -> None:
    """Raise Mistake where one of the paths is a file that this command did not write."""
    for path in paths:
        if path.is_file() and not is_ours(path):
            raise Mistake(
                f"{path} was not written by this command and stays as it is: choose another place with {option}, or "
                "move the file away"
            )


def is_ours(path: Path) -> bool:
    """By the mark in its first line; of a picture, by the numbers that are written beside it."""
    if path.suffix == ".png":
        return path.with_suffix(".csv").is_file()
    mark = MARKS.get(path.name) or MARKS.get(path.suffix.lower())
    return not mark or mark in first_line(path)


def first_line(path: Path) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.readline()


def check_models(out: Path, kinds: Iterable[str], prepared: Prepared, asked: str | None) -> None:
    """Raise Mistake where `train` would replace or remove models that are not earlier trainings of the same task,
    or the checkpoint of a training that was stopped. `asked` is the target as --target has it."""
    for kind in MODELS:
        path = out / f"{kind}.safetensors"
        if path.is_file() and (why := why_kept(path, kind in kinds, prepared)):
            raise Mistake(
                f"{path} {why} and stays as it is: name another folder with --out, or replace it with --overwrite"
            )
    path = out / FOLDER
    if path.exists() and not path.is_dir():
        raise Mistake(f"{path} is a file where checkpoints would be written: name another folder with --out")
    path = path / LAST
    if path.is_file():
        known = metadata_of(path).get("checkpoint")
        if known is None:
            raise Mistake(
                f"{path} was not written by `tapegrad train` and stays as it is: name another folder with --out"
            )
        target = json.loads(known)["settings"].get("target", asked)
        if target != asked:
            raise Mistake(
                f"{path} is of a stopped training of another target ({target!r}) and stays as it is: name another "
                "folder with --out, or replace it with --overwrite"
            )


def why_kept(path: Path, replaced: bool, prepared: Prepared) -> str:
    """What the model in a file is that this training would not write again; "" where it would."""
    metadata = metadata_of(path)
    if "table" not in metadata:
        return "was not written by `tapegrad train`"
    known = json.loads(metadata["table"])
    if different := other_task(known, prepared):
        return f"was trained on {different}"
    return "" if replaced else "is of an earlier training, which this one would remove"


def metadata_of(path: Path) -> dict[str, str]:
    """What a file of tensors says of itself; nothing where it is none."""
    try:
        return read_metadata(path)
    except FileError:
        return {}


def other_task(known: PlainData, prepared: Prepared) -> str:
    """How the task of a model differs from that of now: by target, its kind, or all columns; "" where it does not."""
    name, target = known["target"]["name"], prepared.target
    if name != target.name:
        return f"another target ({name!r}; now {target.name!r})"
    if ("classes" in known["target"]) != (target.classes is not None):
        was, now = ("classes", "numbers") if "classes" in known["target"] else ("numbers", "classes")
        return f"{name!r} as {was} (now {now})"
    if not {*known["columns"], name} & {*prepared.all_names} - {name}:
        return f"another table ({known['data']}: no column but {name!r} is in {prepared.table.title})"
    return ""
