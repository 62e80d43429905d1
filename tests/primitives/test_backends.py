"""Every row on each backend: the value and the gradients are NumPy's, and stay on the device.

array-api-strict stands in for a GPU on any machine. The rows marked gpu run on CuPy, without TensorFlow.
"""

from importlib.util import find_spec

import numpy as np
import pytest

import tapegrad as tg
from primitives.harness import run
from primitives.table import Case, cases
from tapegrad.backends import BackendError, get_backend

every_case = pytest.mark.parametrize("case", cases(), ids=lambda case: case.id)


@pytest.fixture(scope="module")
def strict() -> str:
    pytest.importorskip("array_api_strict")
    import strict_backend

    strict_backend.register()
    return "strict:2"


@pytest.fixture(scope="module")
def cuda() -> str:
    if find_spec("cupy") is None:
        pytest.skip("CuPy is not installed")
    try:
        get_backend("cupy")
    except BackendError as error:
        pytest.skip(str(error))
    return "cuda:0"


def check(case: Case, device: str, slack: float) -> None:
    there, here = run(case, device=device), run(case)
    for got, want in zip([there.y, *there.grads], [here.y, *here.grads], strict=True):
        assert got.device == device
        assert tg.autograd.dtypes.name_of(got.dtype) == want.dtype.name
        if case.row.ref is not None:
            np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=slack, atol=slack)


@pytest.mark.filterwarnings(
    "ignore:You are comparing a array_api_strict dtype:UserWarning:tapegrad.autograd.primitive"
)
@every_case
def test_strict(case: Case, strict: str):
    check(case, strict, 1e-14)


@pytest.mark.gpu
@every_case
def test_cupy(case: Case, cuda: str):
    check(case, cuda, 1e-11)
