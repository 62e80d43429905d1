"""Each row's first and second derivatives against central differences, see `derivatives`."""

import pytest

from primitives.derivatives import check_first, check_second
from primitives.table import Case, cases

every_gradient = pytest.mark.parametrize("case", cases(lambda row: row.grad), ids=lambda case: case.id)


@every_gradient
def test_first_derivative(case: Case):
    check_first(case)


@every_gradient
def test_second_derivative(case: Case):
    check_second(case)
