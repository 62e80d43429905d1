"""The packages that tapegrad can do without, and the command that installs them.

A message names the packages themselves: tapegrad is not on PyPI, and `tapegrad[plot]` might be a stranger's there.
"""

import re
from importlib.metadata import PackageNotFoundError, version

# As pyproject.toml has them; tests/test_house.py compares.
EXTRAS = {
    "cuda13": ("cupy-cuda13x>=14.2",),
    "cuda12": ("cupy-cuda12x>=14.2",),
    "cuda-fast": ("nvmath-python>=1.0",),
    "jit": ("llvmlite>=0.48",),
    "plot": ("matplotlib>=3.9",),
    "data": ("pandas>=2.2.2",),
    "parquet": ("pandas>=2.2.2", "pyarrow>=16.1"),
}


def install_line(extra: str) -> str:
    """The command that installs the packages of an extra: `pip install "pandas>=2.2.2"`."""
    return "pip install " + " ".join(f'"{requirement}"' for requirement in EXTRAS[extra])


VERSIONS: dict[str, str] = {}  # of the packages that were found: it takes a millisecond


def found(package: str) -> str | None:
    """The version of a package, or None while it is not installed."""
    if package not in VERSIONS:
        try:
            VERSIONS[package] = version(package)
        except PackageNotFoundError:
            return None
    return VERSIONS[package]


def lacking(extra: str) -> str:
    """What of an extra is absent or too old here, in words; "" for nothing."""
    wrong = []
    for requirement in EXTRAS[extra]:
        package, _, oldest = requirement.partition(">=")
        there = found(package)
        if there is None:
            wrong.append(f"{package}, which is not installed")
        elif numbers(there) < numbers(oldest):
            wrong.append(f"{package} {oldest} or later, and {there} is installed")
    return " and ".join(wrong)


def numbers(text: str) -> tuple[int, ...]:
    """Of a version: (2, 2, 2) of "2.2.2rc1"."""
    release = re.match(r"[\d.]+", text)
    return tuple(int(part) for part in release.group().split(".") if part) if release else ()
