"""The table of operations: it is whole, what a row says holds, and nobody keeps a list of operations beside it."""

import ast
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from primitives.harness import cotangent
from primitives.table import Case, cases
from tapegrad.compiler.ir import operations
from tapegrad.compiler.ir.cuda_forms import Cuda
from tapegrad.compiler.ir.operations import OPERATIONS, ROWS, Kind, Operation, allocating, operation
from tapegrad.compiler.passes import improve

ROOM = Path(operations.__file__).resolve().parent.parent
TABLE = ROOM / "ir" / "operations.py"


# ---- the table is whole ----
def recorded(case: Case) -> list[Any]:
    """The programs of a row's value and gradients."""
    floating = tuple(i for i, a in enumerate(case.arrays) if a.dtype.kind == "f")

    def loss(*xs: Any) -> Any:
        y = case.row.call(*xs)
        return (y * cotangent(y)).sum() if case.row.grad and floating else y

    whole = tg.grad(loss, argnums=floating) if case.row.grad and floating else loss
    step = tg.jit(lambda *xs: whole(*xs), emitter="numpy")
    with tg.no_grad():
        step(*map(tg.tensor, case.cast("float32")))
    program = step.shown().runner.history[0][1]
    return [program, *(improve(program, target)[0] for target in ("numpy", "native", "cupy"))]


# What passes make of many elements, or of the numbers of an optimizer.
OF_PASSES = {"mask_bits", "and_bits", "bounded", *(name for name in OPERATIONS if name.startswith("scalar_"))}


def test_every_recorded_operation_has_a_row_and_every_row_is_recorded() -> None:
    names: set[str] = set()
    for case in cases(lambda row: row.primitive not in ("move", "set_item")):
        names |= {op.name for program in recorded(case) for op in program.ops}
    assert names <= OPERATIONS.keys()
    effects = {"write", "guard", "bounds", "random_uniform", "copy"}  # of whole steps
    others = {"logical_and", "logical_or", "logical_xor", "logical_not"}  # of primitives that users write
    missing = OPERATIONS.keys() - names - effects - others - OF_PASSES
    assert not missing, missing


def test_a_name_stands_in_one_row() -> None:
    assert len(OPERATIONS) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_is_whole(row: Operation) -> None:
    if row.kind is Kind.ELEMENTWISE and row.name not in OF_PASSES:
        assert isinstance(row.cuda, Cuda)
    if row.kind is Kind.REDUCTION:
        assert isinstance(row.cuda, str) and row.identity is not None
    assert row.effect == (row.kind in (Kind.WRITE, Kind.GUARD, Kind.RANDOM))
    assert (row.index_from is not None) == (row.kind is Kind.INDEX)
    assert row.allocates <= {"numpy", "cupy"}


def test_every_column_is_explained() -> None:
    assert Operation.__doc__ is not None
    for column in fields(Operation):
        assert re.search(rf"^ *{column.name} ", Operation.__doc__, re.M), column.name


def test_a_function_without_a_row_is_one_call() -> None:
    row = operation("cumulative_sum")
    assert row.kind is Kind.CALL and not row.effect
    assert np.array_equal(row.evaluate([np.arange(3)], {}, np), [0, 1, 3])
    assert row.name not in allocating("numpy")


@pytest.mark.parametrize("row", [row for row in ROWS if row.kind is Kind.REDUCTION], ids=lambda row: row.name)
def test_the_identity_of_a_reduction_changes_nothing(row: Operation) -> None:
    if row.mean:
        assert row.identity == 0
        return
    x = np.array([True, False]) if isinstance(row.identity, bool) else np.array([2.0, -3.0])
    with_it = np.append(x, row.identity).astype(x.dtype)
    assert row.evaluate([with_it], {}, np) == row.evaluate([x], {}, np)


# ---- nobody keeps a list of operations beside it ----
def names_in(node: ast.AST) -> list[str]:
    """The strings of a literal collection: of a dict its keys, of "a b c".split() the words."""
    if isinstance(node, ast.Dict):
        elements: list[Any] = [k for k in node.keys if k is not None]
    elif isinstance(node, (ast.Set, ast.Tuple, ast.List)):
        elements = list(node.elts)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
        return node.value.split()
    else:
        return []
    return [e.value for e in elements if isinstance(e, ast.Constant) and isinstance(e.value, str)]


FILES = [path for path in ROOM.rglob("*.py") if path != TABLE]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOM).as_posix())
def test_no_other_module_holds_a_set_of_operations(path: Path) -> None:
    lists = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = names_in(node)
        operations_in = [name for name in names if name in OPERATIONS]
        if len(operations_in) >= 2 and 2 * len(operations_in) >= len(names):
            lists.append((node.lineno, operations_in))
    assert lists == [], f"{path.name}: ask the row of the operation, or give it a column in ir/operations.py"


def test_a_set_of_operations_is_found() -> None:
    for text in ("{'exp', 'log'}", "{'sum': 1, 'max': 2}", "('write', 'guard')", "'sum max min'.split()"):
        assert any(len(names_in(node)) >= 2 for node in ast.walk(ast.parse(text))), text
