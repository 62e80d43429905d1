"""What the tests of several rooms share, and how a run of all of them is spread over workers.

A shell has what it runs in the background ignore Ctrl-C, which some tests press: here it is heard all the same.
"""

import gc
import random
import signal
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any
from zlib import crc32

import numpy as np
import pytest

import tapegrad as tg

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Of `make test`."""
    if config.getvalue("dist") != "loadgroup":
        return None
    from distribution import FunctionScheduling

    config.option.loadscopereorder = False  # the order is that of pytest_collection_modifyitems
    return FunctionScheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With several workers the longest come first, so that all end at about the same time."""
    if not hasattr(config, "workerinput"):
        return
    rows = Counter(item.nodeid.split("[", 1)[0] for item in items)
    items.sort(
        key=lambda item: (item.get_closest_marker("slow") is None, -rows[item.nodeid.split("[", 1)[0]])
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Each test has random numbers of its own, the same in every run."""
    seed = crc32(item.nodeid.encode())
    tg.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)


def pytest_collection_finish() -> None:
    """The garbage collector need not look through forty thousand tests again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(params=["strict:1", pytest.param("cuda:0", marks=pytest.mark.gpu)])
def elsewhere(request: pytest.FixtureRequest) -> Iterator[str]:
    """A device that is not the host. On the strict one an implicit copy to the host fails on any machine."""
    if request.param == "strict:1":
        import strict_backend

        strict_backend.register()
    else:
        try:
            tg.get_backend("cupy")
        except tg.BackendError as error:
            pytest.skip(str(error))
    with warnings.catch_warnings():  # array-api-strict warns where its dtypes are looked up among NumPy's
        warnings.filterwarnings("ignore", "You are comparing a array_api_strict dtype")
        yield request.param
