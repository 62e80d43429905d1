"""Files that appear complete or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tapegrad.autograd.replacing import check_replaceable, put
from tapegrad.cli.arguments import Mistake


def check_folder(out: Path, replaced: Iterable[str], option: str = "--out") -> None:
    """Raise Mistake where `out` cannot become a folder to write to, or a file in it is not to be replaced: before the
    work, not after it."""
    there = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not there.is_dir():
        raise Mistake(f"{option} {out}: {there} is a file, not a folder: choose another folder with {option}")
    if not os.access(there, os.W_OK | os.X_OK):
        raise Mistake(
            f"{option} {out}: no permission to write in {there}: choose another folder with {option}"
        )
    for name in replaced:
        try:
            check_replaceable(out / name)
        except FileNotFoundError:  # there is no such folder yet
            return
        except OSError as error:
            raise Mistake(f"{option} {out}: {error}") from None


@contextmanager
def all_or_nothing(out: Path, replaced: Iterable[str]) -> Iterator[Path]:
    """`with all_or_nothing(out, names) as folder:` write into `folder`; at the end its files are moved into `out`,
    where those called `replaced` give way, so that what lies there together belongs together. After an error nothing is
    left of the new files, and the old ones stay. What a killed process left is removed."""
    made = [p for p in (out, *out.parents) if not p.exists()]  # the folders that are ours to remove again
    out.mkdir(parents=True, exist_ok=True)
    remove_left_overs(out)
    folder = Path(tempfile.mkdtemp(prefix=f".writing-{os.getpid()}-", dir=out))
    try:
        yield folder
        written = sorted(folder.iterdir())
        for name in {*replaced, *(path.name for path in written)}:
            check_replaceable(out / name)
        for name in {*replaced} - {path.name for path in written}:
            (out / name).unlink(missing_ok=True)
        for path in written:
            put(path, out / path.name)
        folder.rmdir()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        for path in made:
            with suppress(OSError):  # not empty: something else put files there
                path.rmdir()
        raise


def remove_left_overs(out: Path) -> None:
    """The folders of processes that were killed while they wrote here."""
    for path in out.glob(".writing-*"):
        process = path.name.split("-")[1]
        if not process.isdigit() or not is_running(int(process)):
            shutil.rmtree(path, ignore_errors=True)


def is_running(process: int) -> bool:
    if os.name != "posix":
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return process != os.getpid()
