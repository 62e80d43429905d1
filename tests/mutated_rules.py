"""Each gradient rule of each primitive, made wrong in one place: some row of the tables must see it.

    PYTHONPATH=src:tests python tests/mutated_rules.py            all of them: some minutes
    PYTHONPATH=src:tests python tests/mutated_rules.py log erf    those of these primitives

A cotangent with the other sign, or times 1.0001; and in the rule's own source, and that of the functions that only
rules call: a term of a sum left out, + in place of -, a minus left out, a sum over axes left out. Each is run through
the first and second derivatives of the rows that go through the rule. Prints those that no row sees, and how many there
were.
"""

import ast
import inspect
import sys
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from types import FunctionType
from typing import Any

import numpy as np

from primitives.derivatives import check_first, check_second
from primitives.known_slopes import WHOLE, slopes
from primitives.table import cases
from tapegrad.autograd.primitive import REGISTRY, Primitive

Check = Callable[[], None]


@dataclass(frozen=True)
class Mutant:
    """primitives: whose rows see it; text: what was done; put: does it, and returns what takes it back; hits: one for
    each time that it made a difference, None where that is not known."""

    primitives: tuple[str, ...]
    text: str
    put: Callable[[], Callable[[], None]]
    hits: list[int] | None = None


# ---- cotangents made wrong, whatever the rule is ----
CHANGES: dict[str, Callable[[Any], Any]] = {
    "the other sign": lambda g: -g,
    "times 1.0001": lambda g: g * 1.0001,
}


def changed(rule: Any, at: int | None, change: Callable[[Any], Any], hits: list[int]) -> Any:
    """A rule whose result, or that of input `at` of a joint rule, is changed."""

    def wrong_one(g: Any) -> Any:
        if g is None:
            return None
        hits.append(1)
        return change(g)

    def wrong(*args: Any, **params: Any) -> Any:
        found = rule(*args, **params)
        return (
            wrong_one(found)
            if at is None
            else tuple(wrong_one(g) if i == at else g for i, g in enumerate(found))
        )

    return wrong


def of_results(p: Primitive, inputs: int) -> Iterator[Mutant]:
    """The mutants of what a primitive's rules return, for the largest number of inputs that a row gives it."""
    rules = p.vjp
    for text, change in CHANGES.items():
        for i in range(inputs):
            hits: list[int] = []
            if callable(rules):
                wrong: Any = changed(rules, i, change, hits)
            elif rules is None or i >= len(rules) or rules[i] is None:
                continue
            else:
                wrong = (*rules[:i], changed(rules[i], None, change, hits), *rules[i + 1 :])
            yield Mutant((p.name,), f"input {i}: {text}", replaced(p, "vjp", wrong), hits)


def replaced(owner: Any, name: str, value: Any) -> Callable[[], Callable[[], None]]:
    """Sets an attribute when it is called, and returns what sets it back."""

    def put() -> Callable[[], None]:
        before = getattr(owner, name)
        setattr(owner, name, value)
        return lambda: setattr(owner, name, before)

    return put


# ---- the rule's source made wrong ----
def of_source(p: Primitive, sources: "Sources") -> Iterator[Mutant]:
    """The mutants of the expression that a primitive's rules are."""
    module, expression = sources.rules[p.name]
    for text, tree in mutations(expression):
        rules = evaluated(tree, module)
        if rules is not None:
            yield Mutant((p.name,), text, replaced(p, "vjp", rules))


def evaluated(expression: ast.expr, module: Any) -> Any:
    """What an expression is in a module; None if it is made of what only its place there knows."""
    try:
        return eval(compile(ast.Expression(expression), "<rules>", "eval"), module.__dict__)
    except NameError:
        return None


def of_functions(sources: "Sources", wanted: Callable[[str], bool]) -> Iterator[Mutant]:
    """The mutants of the functions that rules call and no forward, each with all primitives that call it."""
    users: dict[tuple[str, str], list[str]] = defaultdict(list)
    for primitive, (module, expression) in sources.rules.items():
        for name in sources.functions_of_rules(module, expression):
            users[module.__name__, name].append(primitive)
    for (room, name), primitives in users.items():
        if any(map(wanted, primitives)):
            module = sys.modules[room]
            for text, tree in mutations(sources.functions[room][name]):
                scope: dict[str, Any] = {}
                exec(compile(ast.Module([tree], []), f"<{name}>", "exec"), dict(module.__dict__), scope)
                made = FunctionType(scope[name].__code__, module.__dict__, name, scope[name].__defaults__)
                made.__kwdefaults__ = scope[name].__kwdefaults__
                put = replaced_in_rules(sources, primitives, module, name, made)
                yield Mutant(tuple(primitives), f"{name}: {text}", put)


def replaced_in_rules(sources: "Sources", primitives: list[str], module: Any, name: str, made: Any) -> Any:
    """Sets a function of a module, and makes the rules anew, which may hold it."""

    def put() -> Callable[[], None]:
        back = [replaced(module, name, made)()]
        for primitive in primitives:
            rules = evaluated(sources.rules[primitive][1], module)
            if rules is not None:
                back.append(replaced(REGISTRY[primitive], "vjp", rules)())
        return lambda: [undo() for undo in back] and None

    return put


def mutations(tree: ast.AST) -> Iterator[tuple[str, Any]]:
    """Each tree that differs in one place, with what was done there."""
    for number, node in enumerate(ast.walk(tree)):
        for text, change in changes_of(node):
            twin = deepcopy(tree)
            target = list(ast.walk(twin))[number]
            yield f"{ast.unparse(node)[:60]} -> {text}", put_in(twin, target, change(target))


def changes_of(node: ast.AST) -> list[tuple[str, Callable[[Any], ast.AST]]]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)):
        other = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
        return [
            ("the left term", lambda n: n.left), ("the right term", lambda n: n.right),
            ("the other sign", lambda n: ast.BinOp(n.left, other, n.right)),
        ]  # fmt: skip
    minus = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
    if minus and not isinstance(node.operand, ast.Constant):
        return [("no minus", lambda n: n.operand)]
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "sum_p":
        return [("no sum", lambda n: n.args[0])]
    return []


def put_in(tree: Any, target: ast.AST, new: ast.AST) -> Any:
    """The tree with another node in the place of one."""

    class Put(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> Any:
            return new if node is target else self.generic_visit(node)

    return ast.fix_missing_locations(Put().visit(tree))


class Sources:
    """The rules of primitives with a name in words, as source, and the functions of their modules."""

    def __init__(self) -> None:
        self.rules: dict[str, tuple[Any, ast.expr]] = {}
        self.functions: dict[str, dict[str, ast.FunctionDef]] = {}
        self.of_forwards: dict[str, set[str]] = defaultdict(set)
        for name in sorted(n for n in sys.modules if n.startswith("tapegrad.autograd.ops.")):
            self.read(sys.modules[name])

    def read(self, module: Any) -> None:
        tree = ast.parse(inspect.getsource(module))
        here = self.functions[module.__name__] = {
            n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or getattr(node.func, "id", "") != "Primitive" or not node.args:
                continue
            self.of_forwards[module.__name__] |= names_in(node.args[1:], here)
            rules = next((k.value for k in node.keywords if k.arg == "vjp"), None)
            if isinstance(node.args[0], ast.Constant) and rules is not None:
                self.rules[str(node.args[0].value)] = module, rules

    def functions_of_rules(self, module: Any, expression: ast.AST) -> list[str]:
        """The functions of a module that an expression calls, and no forward."""
        here = self.functions[module.__name__]
        return sorted(names_in([expression], here) - self.of_forwards[module.__name__])


def names_in(trees: list[Any], known: dict[str, ast.FunctionDef]) -> set[str]:
    """The names of known functions that stand in the trees, and in these functions in turn."""
    found: set[str] = set()
    waiting = list(trees)
    while waiting:
        for node in ast.walk(waiting.pop()):
            if isinstance(node, ast.Name) and node.id in known and node.id not in found:
                found.add(node.id)
                waiting.append(known[node.id])
    return found


# ---- which rows go through which rules ----
def checks(wanted: Callable[[str], bool]) -> Iterator[tuple[str, Check]]:
    """(the primitive of a row or "", its check): derivatives against differences, and the slopes that are known."""
    for case in cases(lambda row: row.grad and wanted(row.primitive or "")):
        for check in (check_first, check_second):
            yield case.row.primitive or "", partial(check, case)
    for _, f, x, slope in WHOLE:
        yield "", partial(known, f, x, slope)


def known(f: Callable[..., Any], x: Any, slope: Any) -> None:
    np.testing.assert_allclose(slopes(f, x)[1][0], slope, rtol=1e-14, atol=1e-200)


def passes_through(wanted: Callable[[str], bool]) -> tuple[dict[str, list[Check]], dict[str, int]]:
    """(for each primitive the checks in which its rules run, those of its own rows first; and its most inputs)."""
    runs: dict[str, list[tuple[str, Check]]] = defaultdict(list)
    inputs: dict[str, int] = defaultdict(int)
    met: set[str] = set()

    def heard(p: Primitive) -> Any:
        def rule(needed: Any, g: Any, y: Any, *given: Any, **params: Any) -> Any:
            met.add(p.name)
            inputs[p.name] = max(inputs[p.name], len(given))
            if callable(before[p]):
                return before[p](needed, g, y, *given, **params)
            each = zip(before[p], needed, strict=True)
            return tuple(rule(g, y, *given, **params) if rule and wanted else None for rule, wanted in each)

        return rule

    before: dict[Any, Any] = {p: p.vjp for p in REGISTRY.values() if p.vjp is not None}
    try:
        for p in before:
            p.vjp = heard(p)
        for own, check in checks(wanted):
            met.clear()
            check()
            for name in met:
                runs[name].append((own, check))
    finally:
        for p, rules in before.items():
            p.vjp = rules
    ordered = {n: [c for _, c in sorted(found, key=lambda r: r[0] != n)] for n, found in runs.items()}
    return ordered, inputs


def seen(mutant: Mutant, runs: dict[str, list[Check]]) -> bool:
    """Whether a check fails."""
    back = mutant.put()
    try:
        for check in (check for name in mutant.primitives for check in runs.get(name, ())):
            try:
                check()
            except Exception:
                return True
    finally:
        back()
    return mutant.hits == []  # it never made a difference: the input has no cotangent


def survivors(names: Sequence[str] = ()) -> tuple[list[Mutant], int, list[str]]:
    """(the mutants that no row sees, how many there were, the primitives whose rules no row goes through)."""
    wanted = lambda name: not names or name in names
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runs, inputs = passes_through(wanted)
        sources = Sources()
        chosen = [p for n, p in REGISTRY.items() if p.vjp is not None and wanted(n)]
        every = [m for p in chosen for m in of_results(p, inputs.get(p.name, 0))]
        every += [m for p in chosen if p.name in sources.rules for m in of_source(p, sources)]
        every += of_functions(sources, wanted)
        unheard = [p.name for p in chosen if p.name not in runs]
        return [m for m in every if not seen(m, runs)], len(every), unheard


def main(names: list[str]) -> int:
    found, count, unheard = survivors(names)
    for m in found:
        print(f"{', '.join(m.primitives)}: {m.text}")
    print(f"{count} mutants, {len(found)} survive")
    if unheard:
        print(f"no row goes through the rules of {', '.join(unheard)}")
    return len(found) + len(unheard)


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
