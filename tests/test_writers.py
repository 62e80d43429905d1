"""Every writer of the package leaves a file the permissions that it had, and refuses before anything is lost."""

import ast
import os
import stat
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.autograd import replacing
from tapegrad.cli import main
from tapegrad.models import CSVLogger, History, ModelCheckpoint, Sequential

pytestmark = pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX")
ROOT = Path(__file__).parents[1]
X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")


def model() -> Sequential:
    made = Sequential(nn.Dense(1, "sigmoid", in_features=3))
    made.compile("sgd", "mse")
    return made


def fitted(*callbacks: Any) -> History:
    return model().fit(X, X[:, :1] > 0, verbose=0, callbacks=callbacks)


def compiled_step(path: Path) -> None:
    w = tg.ones((3,))
    step = tg.jit(lambda x: x * w)
    step.prepare(tg.ones((3,)))
    step(tg.ones((3,)))
    step.save(str(path))


@cache
def table() -> str:
    rows = "\n".join(f"{a},{b},{'yes' if a > b else 'no'}" for a, b in X[:, :2])
    return f"a,b,more\n{rows}\n"


def command(*arguments: Any) -> None:
    """OSError for the exit status 2."""
    if main([str(a) for a in arguments]) != 0:
        raise OSError("read-only, or no file")


def train(path: Path) -> None:
    data = path.parent / "table.data"
    data.write_text(table())
    command("train", data, "--target", "more", "--model", "mlp", "--epochs", 1, "--out", path.parent)


def predict(path: Path) -> None:
    where = path.parent / "trained"
    train(where / "x") if where.is_dir() else (where.mkdir(), train(where / "x"))
    command("predict", where / "mlp.safetensors", where / "table.data", "--out", path)


def source(path: Path) -> None:
    made = model()
    made.build((3,))
    made.save(path.parent / "its model")
    command("source", path.parent / "its model", "--save", path.with_suffix(".py"))


# The name of a file, and what writes it.
WRITERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "tg.save": ("a", lambda path: tg.save(path, {"w": X})),
    "Sequential.save": ("a", lambda path: model().save(path)),
    "ModelCheckpoint": ("a", lambda path: fitted(ModelCheckpoint(path))),
    "CSVLogger": ("a", lambda path: fitted(CSVLogger(path))),
    "CSVLogger, append": ("a", lambda path: fitted(CSVLogger(path, append=True))),
    "History.to_csv": ("a", lambda path: fitted().to_csv(path)),
    "History.plot": ("a.png", lambda path: fitted().plot(path)),
    "a compiled step": ("a.py", compiled_step),
    "its arrays": ("a.npz", lambda path: compiled_step(path.with_suffix(".py"))),
    "tapegrad train: the model": ("mlp.safetensors", train),
    "tapegrad train: the history": ("history.csv", train),
    "tapegrad train: the picture": ("history.png", train),
    "tapegrad predict": ("a.csv", predict),
    "tapegrad source": ("a.py", source),
    "tapegrad source: its arrays": ("a.npz", source),
}  # fmt: skip
OLD = b"epoch,loss\n"


@pytest.fixture(autouse=True)
def umask() -> Any:
    before = os.umask(0o027)
    yield
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("writer", WRITERS)
def test_a_file_keeps_its_permissions_and_a_new_one_has_the_umasks(writer: str, tmp_path: Path) -> None:
    name, write = WRITERS[writer]
    path = tmp_path / name
    write(path)
    assert mode_of(path) == 0o640
    for mode in (0o600, 0o666):
        # These two write over what is theirs alone.
        old = path.read_bytes() if writer.startswith(("tapegrad train", "tapegrad source")) else OLD
        path.write_bytes(old)
        path.chmod(mode)
        write(path)
        assert mode_of(path) == mode and path.read_bytes() != OLD


@pytest.mark.parametrize("writer", WRITERS)
def test_what_is_not_to_be_replaced_is_refused_before_anything_is_lost(writer: str, tmp_path: Path) -> None:
    """A read-only file, though the administrator could write to it; a folder; and a device."""
    name, write = WRITERS[writer]
    path = tmp_path / name
    path.write_bytes(OLD)
    path.chmod(0o440)
    with pytest.raises(OSError, match="read-only"):
        write(path)
    assert (path.read_bytes(), mode_of(path)) == (OLD, 0o440)
    path.unlink()
    path.mkdir()
    with pytest.raises(OSError, match="no file"):
        write(path)
    assert path.is_dir()
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(OSError, match="no file"):
        write(path)
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_private_file_is_private_from_its_first_byte_on(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(OLD)
    path.chmod(0o604)
    with replacing.replacing(path) as temporary:
        assert mode_of(Path(temporary)) == 0o600
    assert mode_of(path) == 0o604


REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "half of a pair in a name": (lambda path: tg.save(path, {"\ud800": X}), "half of a surrogate pair"),
    "half of a pair inside a name": (lambda path: tg.save(path, {"a": X, "b.\udfff.c": X}), "surrogate pair"),
    "more names than a file holds": (lambda path: tg.save(path, {"a" * 100_000_001: X}), "a file can hold"),
    "metadata called model": (lambda path: model().save(path, {"model": "mine"}), "choose another one"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_file_can_hold_is_refused_before_anything_is_written(case: str, tmp_path: Path) -> None:
    save, words = REFUSED[case]
    path = tmp_path / "a"
    path.write_bytes(OLD)
    with pytest.raises(ValueError, match=words):
        save(path)
    assert path.read_bytes() == OLD and [*tmp_path.iterdir()] == [path]


def test_any_text_is_metadata(tmp_path: Path) -> None:
    texts = {"\ud800": "\udfff", "é": '"\\\n\0', "": ""}
    tg.save(tmp_path / "a", {"w": X}, metadata=texts)
    assert tg.read_metadata(tmp_path / "a") == texts and tg.load(tmp_path / "a").keys() == {"w"}


# ---- no writer beside these ----
WRITING = {"write_text", "write_bytes", "savefig", "replace", "rename", "savez", "ZipFile", "mkstemp"}
ELSEWHERE = {
    "autograd/replacing.py": "replaces files for all others",
    "compiler/emit/native/cache.py": "a folder of its own, whose files are 0600 from the first byte on",
    "cli/compare.py": "writes into a folder that cli/writing.py moves as a whole",
    "cli/pictures.py": "the same folder",
    "cli/writing.py": "moves whole folders of files by `put`",
}


def writes_to_files(tree: ast.AST) -> bool:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        f = node.func
        if isinstance(f, ast.Attribute) and f.attr in WRITING - {"replace", "rename"}:
            return True
        if isinstance(f, ast.Attribute) and f.attr in ("replace", "rename") and ast.unparse(f.value) == "os":
            return True
        if ast.unparse(f) in ("ZipFile", "open", "os.fdopen", "io.open") and len(node.args) > 1:
            mode = node.args[1]
            if isinstance(mode, ast.Constant) and set(str(mode.value)) & set("wax+"):
                return True
    return False


def test_every_file_that_writes_goes_through_one_function() -> None:
    rooms = [p.resolve() for p in (ROOT / "src" / "tapegrad").iterdir() if p.is_dir()]
    texts = {p.relative_to(ROOT).as_posix(): p.read_text() for room in rooms for p in room.rglob("*.py")}
    writing = {name for name, text in texts.items() if writes_to_files(ast.parse(text))}
    assert writing >= {
        "autograd/files.py",
        "compiler/emit/load.py",
        "models/callbacks.py",
        "models/history.py",
    }
    others = {name for name in writing if "autograd.replacing import" not in texts[name]}
    assert others <= ELSEWHERE.keys()
