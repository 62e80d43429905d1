"""Files that appear complete or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def all_or_nothing(out: Path) -> Iterator[Path]:
    """`with all_or_nothing(out) as folder:` write into `folder`; at the end its files are moved into `out`, replacing
    those of the same names. After an error nothing is left of them."""
    made = [p for p in (out, *out.parents) if not p.exists()]  # the folders that are ours to remove again
    out.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".writing-", dir=out))
    try:
        yield folder
        for path in sorted(folder.iterdir()):
            os.replace(path, out / path.name)
        folder.rmdir()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        for path in made:
            with suppress(OSError):  # not empty: something else put files there
                path.rmdir()
        raise
