"""Machine code on disk: found again, and never run when it is not what was put there."""

import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

pytest.importorskip("llvmlite", reason="the emitter native needs llvmlite")
from tapegrad.compiler.emit.native import cache, machine


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TAPEGRAD_CACHE", str(tmp_path))
    return tmp_path / "native"


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    made: list[str] = []
    compile_ = machine.object_code

    def object_code(text: str) -> bytes:
        made.append(text)
        return compile_(text)

    monkeypatch.setattr(machine, "object_code", object_code)
    return made


def run() -> None:
    f = tg.jit(lambda x: x * 2.0 + 1.0, emitter="native")
    x = tg.tensor(np.arange(40, dtype="float32"))
    with tg.no_grad():
        for _ in range(4):
            assert np.array_equal(f(x).numpy(), np.arange(40) * 2.0 + 1.0)
    assert f.stats()["programs"] == ["native"]


def test_the_same_program_is_compiled_once(folder: Path, compilations: list[str]) -> None:
    for _ in range(3):
        run()
    assert len(compilations) == 1 and len(list(folder.glob("*.o"))) == 1
    assert "0x7f" not in compilations[0].lower()  # no address
    assert folder.stat().st_mode & 0o077 == 0


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def linked(path: Path) -> None:
    other = path.with_suffix(".elsewhere")
    os.replace(path, other)
    path.symlink_to(other)


def of_another_program(path: Path) -> None:
    """A file that is whole, under the name of this one."""
    other = tg.jit(lambda x: x * 3.0 - 7.0, emitter="native")
    for _ in range(4):
        other(tg.tensor(np.ones(40, "float32")))
    (elsewhere,) = (p for p in path.parent.glob("*.o") if p != path)
    os.replace(elsewhere, path)


def of_another_user(path: Path) -> None:
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("only root gives a file away")
    os.chown(path, 12345, 12345)


def piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "a flipped bit": flipped,
    "an empty file": lambda path: path.write_bytes(b""),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "of another version": lambda path: path.write_bytes(path.read_bytes().replace(b"code 3", b"code 2", 1)),
    "a link": linked,
    "others may write to it": lambda path: path.chmod(0o666),
    "the group may write to it": lambda path: path.chmod(0o620),
    "of another program": of_another_program,
    "of another user": of_another_user,
    "a pipe": piped,
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_was_changed_is_compiled_again(damage: str, folder: Path, compilations: list[str]) -> None:
    run()
    (path,) = folder.glob("*.o")
    DAMAGE[damage](path)
    compilations[1:] = []
    run()
    assert len(compilations) == 2
    run()  # what can be put right, was
    assert len(compilations) == (3 if damage == "a folder" else 2)


def test_code_of_another_processor_is_another_file(
    folder: Path, compilations: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    monkeypatch.setattr(machine, "host", lambda: "another processor")
    run()
    assert len(compilations) == 2 and len(list(folder.glob("*.o"))) == 2


@pytest.mark.parametrize("spoil", ["open to all", "open to the group", "of another user", "a link", "a file"])
def test_a_folder_that_is_not_ours_alone_is_not_used(
    spoil: str, folder: Path, compilations: list[str], tmp_path: Path
) -> None:
    if spoil == "open to all":
        folder.mkdir(mode=0o777)
        folder.chmod(0o777)
    elif spoil == "open to the group":
        folder.mkdir()
        folder.chmod(0o770)
    elif spoil == "of another user":
        folder.mkdir(mode=0o700)
        of_another_user(folder)
    elif spoil == "a link":
        (tmp_path / "other").mkdir()
        folder.symlink_to(tmp_path / "other")
    else:
        folder.write_text("")
    run()
    run()
    assert len(compilations) == 2
    assert not list(tmp_path.glob("*/*.o"))


def test_the_number_of_files_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MOST_FILES", 3)
    for n in range(6):
        cache.cached(str(n), lambda n=n: bytes([n]))
        os.utime(folder / next(iter(sorted(os.listdir(folder)))), None)
    assert len(list(folder.glob("*.o"))) == 3
    assert cache.cached("5", lambda: b"again") == b"\x05"


def test_a_file_that_is_too_large_is_compiled_again(
    folder: Path, compilations: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    monkeypatch.setattr(cache, "LARGEST", 100)
    run()
    assert len(compilations) == 2


def test_without_a_home_folder_nothing_is_kept(
    monkeypatch: pytest.MonkeyPatch, compilations: list[str]
) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("TAPEGRAD_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    run()
    assert len(compilations) == 1


def test_what_a_process_left_half_written_is_deleted(folder: Path) -> None:
    cache.cached("1", lambda: b"one")
    old, new = folder / "a.1-1.part", folder / "b.1-1.part"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    cache.cached("2", lambda: b"two")
    assert not old.exists() and new.exists()


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="elsewhere it is one piece of memory"
)
def test_code_and_its_constants_may_lie_gigabytes_apart() -> None:
    """An address of 32 bits that does not reach ends the process: no relocation has one."""
    f = tg.jit(lambda x: (tg.tanh(x @ x) + tg.exp(x)).sum(), emitter="native")
    for _ in range(3):
        f(tg.ones((16, 16)))
    code = machine.llvm().ObjectFileRef.from_data(machine.object_code(f.ir()))
    tables = [s.data() for s in code.sections() if (s.name() or b"").startswith(b".rela")]
    kinds = {int.from_bytes(t[at + 8 : at + 12], "little") for t in tables for at in range(0, len(t), 24)}
    assert kinds and kinds <= {1, 24}  # R_X86_64_64 and R_X86_64_PC64
