"""A primitive as a page shows it: its formula, and its forward and gradient rules as they stand in the source."""

import ast
import inspect
import linecache
import textwrap
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tapegrad.autograd.diagnostics import is_own
from tapegrad.autograd.pages.formulas import COTANGENT, MEANING_OF_N, barred, formula_of, math, rule_formula
from tapegrad.autograd.primitive import Primitive
from tapegrad.backends.aliases import Function

LONGEST = 40  # lines of a function that are shown
HOUSE = Path(__file__).resolve().parents[2]  # where the rooms stand
Written = ast.Lambda | ast.FunctionDef


@dataclass(frozen=True)
class Rule:
    """One primitive.

    formula    what it computes, as MathML; words  what its doc says after that, or instead
    formulas   (argument, the cotangent of it as MathML), for the rules that are formulas
    where      file:line of the rules;  source  the rules as they are written, one for each argument or a joint one
    """

    name: str
    words: str
    formula: str
    formulas: list[tuple[str, str]]
    where: str
    source: list[str]
    forward: str


def rule_of(primitive: Primitive) -> Rule:
    vjp = primitive.vjp if isinstance(primitive.vjp, tuple) else (primitive.vjp,)
    written = dict.fromkeys(r for r in vjp if r is not None)
    places = [place_of(f) for rule in written for f in (rule, *functions_held(rule))]
    forward = place_of(primitive.forward) if primitive.forward is not None else None
    first, _, _ = (primitive.__doc__ or "").partition("\n\n")  # what follows describes the arguments
    formula, words = formula_of(first)
    return Rule(
        primitive.name,
        words,
        formula,
        formulas(vjp),
        next((where for where, _, _ in places if where), ""),
        list(dict.fromkeys(source for _, source, _ in places if source)),
        forward[1] if forward else "",
    )


def functions_held(rule: Function) -> list[Function]:
    """Those that a rule was made with, such as the rule of the activation in that of a layer."""
    held = [cell.cell_contents for cell in getattr(rule, "__closure__", None) or ()]
    return [f for f in held if inspect.isfunction(f)]


def formulas(rules: Sequence[Function | None]) -> list[tuple[str, str]]:
    """Those of all arguments, or none: a part of them would be taken for the whole."""
    found = [cotangent(rule, i) for i, rule in enumerate(rules) if rule is not None]
    return [pair for pair in found if pair] if all(found) else []


def cotangent(rule: Function | None, number: int) -> tuple[str, str] | None:
    """(the argument that a rule gives the cotangent of, that as MathML); None for a rule that is no formula."""
    tree = place_of(rule)[2] if rule is not None else None
    if not isinstance(tree, ast.Lambda) or len(tree.args.args) < 2:
        return None
    g, result, *names = [a.arg for a in tree.args.args]
    shown = {a: "y1" if a == "y" else a for a in names}  # an argument of that name is not the result y
    if names[:2] == ["a", "b"]:  # as the doc calls them
        shown |= {"a": "x1", "b": "x2"}
    tree = Renamed({result: "y", **shown, g: COTANGENT}).visit(deepcopy(tree))
    names = [shown[a] for a in names]
    if number >= len(names) or not (text := rule_formula(tree)):
        return None
    note = MEANING_OF_N if "averaged(" in ast.unparse(tree) else ""
    return names[number], math(f"{barred(names[number])}<mo>=</mo>{text[6:-7]}") + note


class Renamed(ast.NodeTransformer):
    """An expression with other names: those that the array API standard has for two arrays, y for the result, and one
    for its cotangent, whatever a rule calls it."""

    def __init__(self, names: dict[str, str]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self.names.get(node.id, node.id))


@lru_cache(1000)
def place_of(function: Function) -> tuple[str, str, Written | None]:
    """(file:line, source, its tree) of a function or lambda; empty where there is no source."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return "", "", None
    found = [tree for tree in functions_in(code.co_filename) if begins(tree) == code.co_firstlineno]
    if len(found) > 1:
        column = next((c for line, _, c, _ in code.co_positions() if line and c), 0)
        line = next((n for n, _, c, _ in code.co_positions() if n and c), 0)
        spans = {t: body_span(t) for t in found}
        found = [t for t in found if spans[t][0] <= (line, column) <= spans[t][1]][-1:] or found[:1]
    if not found:
        return "", "", None
    tree = found[0]
    lines = linecache.getlines(code.co_filename)
    text = segment(lines, tree)
    if isinstance(tree, ast.FunctionDef):
        text = textwrap.dedent(" " * tree.col_offset + text)
    else:
        text = "\n".join(part.strip() for part in text.split("\n"))
    shown = text.split("\n")
    if len(shown) > LONGEST:
        shown = [*shown[:LONGEST], f"… {len(shown) - LONGEST} more lines"]
    path = Path(code.co_filename)
    ours = is_own(str(path)) or is_own(str(path.resolve()))
    short = path.resolve().relative_to(HOUSE).as_posix() if ours else path.name
    return f"{short}:{code.co_firstlineno}", "\n".join(shown), tree


def segment(lines: list[str], tree: Written) -> str:
    """The source of a tree, whose columns count bytes."""
    part = [line.encode() for line in lines[tree.lineno - 1 : tree.end_lineno]]
    part[-1] = part[-1][: tree.end_col_offset]
    part[0] = part[0][tree.col_offset :]
    return b"".join(part).decode()


def begins(tree: Written) -> int:
    return min([tree.lineno, *(d.lineno for d in getattr(tree, "decorator_list", ()))])


def body_span(tree: Written) -> tuple[tuple[int, int], tuple[int, int]]:
    """(line, column) of the beginning and the end of what a function does."""
    first, body = (tree.body, tree.body) if isinstance(tree, ast.Lambda) else (tree.body[0], tree.body[-1])
    return (first.lineno, first.col_offset), (body.end_lineno or 0, body.end_col_offset or 0)


@lru_cache(64)
def functions_in(path: str) -> list[Written]:
    """The functions and lambdas of a file."""
    try:
        tree = ast.parse("".join(linecache.getlines(path)))
    except SyntaxError:
        return []
    return [node for node in ast.walk(tree) if isinstance(node, (ast.Lambda, ast.FunctionDef))]
