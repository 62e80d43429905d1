"""What the tests of several rooms share.

A shell has what it runs in the background ignore Ctrl-C, which some tests press: here it is heard all the same.
"""

import signal
import warnings
from collections.abc import Iterator

import pytest

import tapegrad as tg

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
