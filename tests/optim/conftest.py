"""What the tests of this folder share."""

import sys
from pathlib import Path

import pytest

import tapegrad as tg

sys.path.insert(0, str(Path(__file__).parent))  # for the table of rows: `optim` itself is the name of a room


@pytest.fixture(scope="session")
def gpu():
    try:
        return tg.get_backend("cupy")
    except tg.BackendError as error:
        pytest.skip(str(error))


@pytest.fixture(params=["strict:1", pytest.param("cuda:0", marks=pytest.mark.gpu)])
def elsewhere(request):
    """A device that is not the host."""
    if request.param == "strict:1":
        import strict_backend

        strict_backend.register()
    else:
        request.getfixturevalue("gpu")
    return request.param
