"""Where results live: in the memory that ends there, and never in memory that is still looked at."""

from typing import Any

import numpy as np

from tapegrad.compiler.ir.operations import allocating
from tapegrad.compiler.ir.program import Op, Origin, Program, Var
from tapegrad.compiler.plan.blocks import Block, blocks
from tapegrad.compiler.plan.buffers import Plan, Planner

DTYPE = np.dtype("float32")


def made(name: str, *shape: int) -> Var:
    return Var(name, shape or (2, 2), DTYPE)


def captured(name: str, start: int = 100) -> Var:
    return Var(name, (2, 2), DTYPE, "captured", span=(start, start + 16))


def op(name: str, inputs: list[Any], out: Var, **params: Any) -> Op:
    return Op(name, inputs, params, out, Origin("", ""))


def planned(ops: list[Op], results: list[Var], fused: bool = False) -> Plan:
    x = Var("x", (2, 2), DTYPE, "argument")
    program = Program([x], [], ops, list(results))
    cut = blocks(program) if fused else [Block([one]) for one in ops]
    return Planner(program, cut, allocating("numpy")).run()


X, A, B, C = Var("x", (2, 2), DTYPE, "argument"), made("a"), made("b"), made("c")
W = captured("w")


def test_a_result_takes_the_place_of_an_input_that_ends() -> None:
    plan = planned([op("exp", [X], A), op("sin", [A], B), op("add", [A, B], C)], [C])
    assert plan.home[C] is plan.home[A] and plan.home[B] is not plan.home[A]
    assert len(plan.buffers) == 2


def test_no_result_takes_the_place_of_what_is_looked_into_through_a_view() -> None:
    turned = made("turned")
    view = op("permute_dims", [A], turned, axes=(1, 0))
    plan = planned([op("exp", [X], A), view, op("add", [A, turned], C)], [C])
    assert plan.home[C] is not plan.home[A]


def test_within_a_loop_no_later_operation_reads_what_a_result_replaces() -> None:
    kept = made("kept")
    ops = [op("exp", [X], A), op("matmul", [A, A], B), op("sin", [B], C), op("add", [B, A], kept)]
    plan = planned(ops, [C, kept], fused=True)
    assert plan.home[C] not in (plan.home[A], plan.home[B])
    assert plan.home[kept] in (plan.home[A], plan.home[B])


def write(value: Var) -> Op:
    return op("write", [W, value], captured("w"))


def test_what_is_only_written_to_a_captured_array_is_made_there() -> None:
    plan = planned([op("multiply", [W, X], A), write(A)], [])
    assert plan.home[A] is W and not plan.buffers


def test_a_check_before_the_write_keeps_the_captured_array_as_it_is() -> None:
    flag = Var("flag", (), np.dtype("bool"))
    check = op("guard", [flag], Var("checked", (), np.dtype("bool")), expected=True)
    plan = planned([op("any", [X], flag), op("multiply", [W, X], A), check, write(A)], [])
    assert plan.home[A] is not W


def test_a_read_before_the_write_sees_what_was_there() -> None:
    other = Var("other", (2, 2), DTYPE, "captured", span=(108, 124))  # shares half of its memory
    for source in (W, other):
        plan = planned([op("multiply", [W, X], A), op("exp", [source], B), write(A)], [B])
        assert plan.home[A] is not W
    plan = planned([op("multiply", [W, X], A), op("exp", [captured("far", 300)], B), write(A)], [B])
    assert plan.home[A] is W


def test_parts_of_a_joined_array_are_made_in_it() -> None:
    flat, whole = made("flat", 4), made("whole", 8)
    ops = [op("exp", [X], A), op("reshape", [A], flat, shape=(4,)), op("sin", [X], B)]
    second = made("second", 4)
    ops += [op("reshape", [B], second, shape=(4,)), op("concat", [flat, second], whole, axis=0)]
    plan = planned(ops, [whole])
    assert plan.parts == {A: (whole, 0, 4), B: (whole, 4, 8)} and len(plan.buffers) == 1
