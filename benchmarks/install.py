"""What tapegrad installs, what its extra `jit` adds, and how large both are on disk, beside the peers with what each of
them cannot do without."""

import importlib.metadata
import re
import tomllib
from collections.abc import Iterable, Iterator

from benchmarks.harness import ROOT

PEERS = ("torch", "jax", "tensorflow-cpu")


def project() -> dict[str, list[str]]:
    """tapegrad's requirements by the name of their extra; "" for those that it always has."""
    found = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {"": found["dependencies"], **found["optional-dependencies"]}


def closure(requirements: Iterable[str]) -> set[str]:
    """The packages named, and what these require, as far as it is installed."""
    todo, found = list(requirements), set()
    while todo:
        requirement, _, marker = todo.pop().partition(";")
        name = re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement.strip())[0]).lower()
        if name in found or "extra" in marker or not installed(name):
            continue
        found.add(name)
        todo += importlib.metadata.requires(name) or []
    return found


def installed(package: str) -> bool:
    try:
        return bool(importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return False


def megabytes(package: str) -> float:
    """Of its files on disk, without bytecode."""
    files = importlib.metadata.files(package) or []
    sizes = (f.locate().stat().st_size for f in files if f.suffix != ".pyc" and f.locate().exists())
    return sum(sizes) / 1e6


def lines() -> Iterator[str]:
    wanted = project()
    own = closure(wanted[""])
    added = closure(wanted["jit"]) - own
    verdict = "kept" if added == {"llvmlite"} else "MISSED"
    yield f"`[jit]` adds {', '.join(sorted(added))}; target: llvmlite alone: {verdict}"
    yield ""
    yield "| what | packages | MB on disk |"
    yield "| --- | ---: | ---: |"
    sets = {"tapegrad's own requirements": own, "what `[jit]` adds": added}
    sets |= {f"{peer} with its requirements": closure([peer]) for peer in PEERS if installed(peer)}
    for what, packages in sets.items():
        yield f"| {what} | {len(packages)} | {sum(map(megabytes, packages)):,.0f} |"
