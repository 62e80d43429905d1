"""Every row on each backend: the value and the gradients are NumPy's, and stay on the device.

array-api-strict stands in for a GPU on any machine. The rows marked gpu run on CuPy, without TensorFlow.
"""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from primitives.harness import run
from primitives.table import Case, cases
from tapegrad.backends import BackendError, get_backend


@pytest.fixture(scope="module")
def strict() -> str:
    pytest.importorskip("array_api_strict")
    import strict_backend

    strict_backend.register()
    return "strict:2"


def cases_for_cupy() -> list[Any]:
    """The cases, or one that is skipped and says why."""
    try:
        get_backend("cupy")
    except BackendError as error:
        return [pytest.param(None, marks=pytest.mark.skip(reason=str(error)), id="none")]
    return [pytest.param(case, id=case.id) for case in cases()]


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
@pytest.mark.parametrize("case", cases(), ids=lambda case: case.id)
def test_strict(case: Case, strict: str):
    check(case, strict, 1e-14)


@pytest.mark.gpu
@pytest.mark.parametrize("case", cases_for_cupy())
def test_cupy(case: Case):
    check(case, "cuda:0", 1e-11)
