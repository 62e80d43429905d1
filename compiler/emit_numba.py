"""A program as one function for numba: matrix products through BLAS, everything else in fused loops.

All buffers are parts of one array for each dtype, and parameters that look into an optimizer's buffer are cut out of it
inside the function, since each array that is passed costs as much as a small loop.
"""

from typing import Any

import numpy as np

from tapegrad.compiler.buffers import Planner
from tapegrad.compiler.emit_numpy import index_text
from tapegrad.compiler.fuse import REDUCTIONS, Block, blocks
from tapegrad.compiler.program import ELEMENTWISE, VIEWS, Op, Program, Var, spelled

FRESH = frozenset({"guard", "random_uniform"})
KNOWN = (
    (ELEMENTWISE | VIEWS | REDUCTIONS)
    | {"matmul", "concat", "write", "guard", "random_uniform", "take_along_axis"}
)  # fmt: skip
INFIX = {
    "add": "+", "subtract": "-", "multiply": "*", "divide": "/", "equal": "==", "not_equal": "!=", "less": "<",
    "less_equal": "<=", "greater": ">", "greater_equal": ">=", "bitwise_and": "&", "bitwise_or": "|",
    "bitwise_xor": "^", "logical_and": "&", "logical_or": "|", "logical_xor": "^",
}  # fmt: skip
CALLS = {
    "asin": "arcsin", "acos": "arccos", "atan": "arctan", "atan2": "arctan2", "asinh": "arcsinh", "acosh": "arccosh",
    "atanh": "arctanh", "round": "rint", "abs": "abs",
}  # fmt: skip
START = {"sum": "0", "mean": "0", "any": "False", "all": "True", "prod": "1", "max": "-inf", "min": "inf"}


class Unsupported(Exception):
    """A program holds an operation that this emitter does not know."""


class NumbaEmitter:
    """Writes the source of one program: `build(captured arrays)` returns the step and the arrays of the gradients."""

    def __init__(self, program: Program, title: str) -> None:
        self.program, self.title = program, title
        for op in program.ops:
            self.check(op)
        self.blocks = blocks(program)
        planner = Planner(program, self.blocks, FRESH)
        self.plan, self.base = planner.run(), planner.base
        self.strided: set[Var] = set()  # views whose elements do not lie one after another
        self.names: dict[Var, str] = {}
        self.numbers: dict[tuple[str, str], str] = {}  # (dtype, number) -> its name
        self.lines: list[str] = []
        self.draws: list[Op] = [op for op in program.ops if op.name == "random_uniform"]
        self.constants: dict[str, Any] = {}
        self.offsets: dict[Var, int] = {}
        self.sizes: dict[str, int] = {}
        for b in self.plan.buffers:
            self.offsets[b] = self.sizes.get(str(b.dtype), 0)
            self.sizes[str(b.dtype)] = self.offsets[b] + -(-max(b.size, 1) // 16) * 16

    def check(self, op: Op) -> None:
        dtypes = [v.dtype for v in (*op.vars, op.out)]
        if op.name not in KNOWN:
            raise Unsupported(f"{op.name} is left to NumPy")
        if any(d.kind not in "fib" or d == np.float16 for d in dtypes):
            raise Unsupported(f"{op.name} on {dtypes[0]} is left to NumPy")
        if op.name == "matmul" and any(v.ndim != 2 for v in op.vars):
            raise Unsupported("a product of other than two matrices is left to NumPy")
        if op.name == "slice" and None in op.params["index"]:
            raise Unsupported("an index with new axes is left to NumPy")
        if op.name == "take_along_axis" and (op.params.get("axis") not in (-1, op.vars[0].ndim - 1)):
            raise Unsupported("take_along_axis along another axis than the last is left to NumPy")

    # ---- names ----
    def name(self, v: Var) -> str:
        if v.kind == "constant" and v not in self.names:
            self.names[v] = f"constant_{len(self.constants) + 1}"
            self.constants[self.names[v]] = v.value
        if v in self.names:
            return self.names[v]
        return v.name

    def number(self, value: Any, dtype: np.dtype) -> str:
        """A Python number in a dtype, as the name of a global."""
        if dtype.kind == "b":
            return repr(bool(value))
        key = (str(dtype), repr(value))
        if key not in self.numbers:
            self.numbers[key] = f"n{len(self.numbers) + 1}"
        return self.numbers[key]

    def at(self, v: Any, indices: list[str], dtype: np.dtype) -> str:
        """The element of an input for the loop's indices: an axis of length 1 stays at 0, missing axes are dropped."""
        if not isinstance(v, Var):
            return self.number(v, dtype)
        own = indices[len(indices) - v.ndim :] if v.ndim else []
        spelled = ["0" if n == 1 and i != "0" else i for n, i in zip(v.shape, own)]
        return f"{self.name(v)}[{', '.join(spelled) or '()'}]"

    def place(self, v: Var) -> str:
        """Declare where a result is made, and give its name."""
        if v in self.plan.parts:
            joined, a, b = self.plan.parts[v]
            home = self.plan.home[joined]
            self.names[v] = v.name
            self.lines.append(f"{v.name} = {home.name}[{a}:{b}].reshape({v.shape})")
        else:
            self.names[v] = self.plan.home[v].name
        return self.names[v]

    # ---- loops ----
    def loop(self, block: Block) -> None:
        assert block.shape is not None
        shape = block.shape
        flat = len(shape) > 1 and all(
            (v.shape == shape and v not in self.strided) or v.ndim == 0 or v in block.inner
            for op in block.ops if op.name in ELEMENTWISE for v in (*op.vars, op.out)
        ) and all(op.name in ELEMENTWISE or op.params.get("axis") is None for op in block.ops)  # fmt: skip
        stored = {op.out: self.place(op.out) for op in block.ops if op.out not in block.inner}
        indices = [f"i{k}" for k in range(len(shape))]
        local: dict[Var, str] = {}
        before: list[str] = []
        body: list[str] = []
        after: list[str] = []
        if flat:
            arrays = {v for op in block.ops for v in (*op.vars, op.out) if v.ndim and v not in block.inner}
            arrays = {v for v in arrays if v.shape == shape}
            views = {self.name(v): f"{self.name(v)}_flat" for v in arrays}
            before += [f"{new} = {old}.reshape(-1)" for old, new in sorted(views.items())]
        for op in block.ops:

            def element(v: Any, dtype: np.dtype = op.out.dtype) -> str:
                if isinstance(v, Var) and v in local:
                    return local[v]
                if flat and isinstance(v, Var) and v.shape == shape and v.ndim:
                    return f"{self.name(v)}_flat[i0]"
                return self.at(v, indices, dtype)

            if op.name in ELEMENTWISE:
                local[op.out] = op.out.name if op.out.name not in stored.values() else f"{op.out.name}_"
                body.append(f"{local[op.out]} = {self.scalar(op, element)}  # [{op.origin.part}]")
                if op.out in stored:
                    body.append(f"{element_of(stored[op.out], shape, indices, flat)} = {local[op.out]}")
            else:
                self.reduction(op, element(op.vars[0]), stored[op.out], indices, before, body, after)
        head = [f"for i0 in range({int(np.prod(shape))}):"] if flat else [
            f"{'    ' * k}for i{k} in range({n}):" for k, n in enumerate(shape)
        ]  # fmt: skip
        depth = "    " * len(head)
        self.lines += [*before, *head, *(depth + line for line in body), *after]

    def scalar(self, op: Op, element: Any) -> str:
        name = op.name
        operand = next((v.dtype for v in op.vars[1 if name == "where" else 0 :]), op.out.dtype)
        dtype = op.out.dtype if name in ("where", "copy") else operand
        args = [element(v, dtype) for v in op.inputs]
        if name == "where":
            return f"{args[1]} if {args[0]} else {args[2]}"
        if name in INFIX:
            return f"{args[0]} {INFIX[name]} {args[1]}"
        if name == "square":
            return f"{args[0]} * {args[0]}"
        if name in ("copy", "positive"):
            return args[0]
        if name == "negative":
            return f"-{args[0]}"
        if name in ("logical_not", "bitwise_invert"):
            return f"not {args[0]}" if op.out.dtype.kind == "b" else f"~{args[0]}"
        if name == "astype":
            return f"{args[0]} != 0" if op.out.dtype.kind == "b" else f"{op.out.dtype}({args[0]})"
        if name == "maximum":  # a NaN stays
            return f"{args[0]} if {args[0]} > {args[1]} or {args[0]} != {args[0]} else {args[1]}"
        if name == "minimum":
            return f"{args[0]} if {args[0]} < {args[1]} or {args[0]} != {args[0]} else {args[1]}"
        if name == "erf":
            return f"{op.out.dtype}(math.erf({args[0]}))"
        if name == "power":
            return f"{op.out.dtype}({args[0]} ** {args[1]})"
        if name == "sign":
            zero, one = self.number(0, dtype), self.number(1, dtype)
            return f"{one} if {args[0]} > {zero} else (-{one} if {args[0]} < {zero} else {args[0]})"
        call = f"np.{CALLS.get(name, name)}({', '.join(args)})"
        return call if op.out.dtype.kind == "b" else f"{op.out.dtype}({call})"

    def reduction(
        self,
        op: Op,
        value: str,
        out: str,
        indices: list[str],
        before: list[str],
        body: list[str],
        after: list[str],
    ) -> None:
        axis, x = op.params.get("axis"), op.vars[0]
        axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis % x.ndim,)
        keep = bool(op.params.get("keepdims"))
        left = [i for a, i in enumerate(indices) if a not in axes]
        place = [("0" if a in axes else i) for a, i in enumerate(indices) if keep or a not in axes]
        whole = not left
        wide = "float64" if op.out.dtype.kind == "f" and op.name in ("sum", "mean") else str(op.out.dtype)
        start = START[op.name]
        start = start if start in ("True", "False") else f"{wide}({start})"
        total = f"{op.out.name}_total" if whole else f"{out}[{', '.join(place)}]"
        before.append(f"{total} = {start}" if whole else f"{out}[...] = {START[op.name]}")
        term = f"({value} != 0)" if op.name in ("any", "all") and x.dtype.kind != "b" else value
        if op.name in ("sum", "mean"):
            body.append(f"{total} += {term}")
        elif op.name == "prod":
            body.append(f"{total} *= {term}")
        elif op.name in ("any", "all"):
            body.append(f"{total} = {total} {'|' if op.name == 'any' else '&'} {term}")
        else:
            sign = ">" if op.name == "max" else "<"
            body.append(f"if {term} {sign} {total} or {term} != {term}: {total} = {term}")
        count = x.size // max(op.out.size, 1)
        if whole:
            result = f"{total} / {count}" if op.name == "mean" else total
            after.append(
                f"{out}[...] = {op.out.dtype}({result})"
                if op.out.dtype.kind != "b"
                else f"{out}[...] = {result}"
            )
        elif op.name == "mean":
            after.append(f"{out}[...] = {out} / {self.number(count, op.out.dtype)}")

    # ---- single operations ----
    def single(self, op: Op) -> None:
        if id(op) in self.plan.skipped:
            if op.name == "concat":
                self.names[op.out] = self.plan.home[op.out].name
            return
        if op.name in VIEWS:
            self.view(op)
        elif op.name == "random_uniform":
            self.names[op.out] = f"drawn_{self.draws.index(op) + 1}"
        elif op.name == "write":
            self.lines.append(f"{self.name(op.inputs[0])}[...] = {self.name(op.inputs[1])}")
        elif op.name == "guard":
            test = "not " if op.params["expected"] else ""
            self.lines.append(f"if {test}{self.name(op.vars[0])}[()]:")
            self.lines.append(f"    raise ValueError('guard: {op.origin.part}: another case than recorded')")
        elif op.name == "matmul":
            a, b = op.vars
            self.lines.append(f"np.dot({self.dense(a)}, {self.dense(b)}, {self.place(op.out)})")
        elif op.name == "concat":
            out, start, axis = self.place(op.out), 0, op.params["axis"]
            for v in op.vars:
                stop = start + v.shape[axis]
                self.lines.append(f"{out}[{':, ' * axis}{start}:{stop}] = {self.name(v)}")
                start = stop
        elif op.name == "take_along_axis":
            x, where = op.vars
            out = self.place(op.out)
            indices = [f"i{k}" for k in range(op.out.ndim)]
            self.lines += [f"{'    ' * k}for i{k} in range({n}):" for k, n in enumerate(op.out.shape)]
            inner = ", ".join([*indices[:-1], f"{self.at(where, indices, where.dtype)}"])
            self.lines.append(f"{'    ' * len(indices)}{out}[{', '.join(indices)}] = {self.name(x)}[{inner}]")

    def dense(self, v: Var) -> str:
        """A matrix for BLAS: contiguous, or the transpose of one that is."""
        name = self.name(v)
        return f"np.ascontiguousarray({name})" if v in self.strided and v not in self.transposes else name

    def view(self, op: Op) -> None:
        x, out, p = op.vars[0], op.out, op.params
        source = self.name(x)
        if op.name == "reshape":
            dense = f"np.ascontiguousarray({source})" if x in self.strided else source
            text = f"{dense}.reshape({p['shape']})"
        elif op.name == "permute_dims":
            self.strided.add(out)
            reverse = list(p["axes"]) == list(range(out.ndim))[::-1]
            if reverse and out.ndim == 2 and x not in self.strided:
                self.transposes.add(out)
            text = f"{source}.T" if reverse else f"{source}.transpose({tuple(p['axes'])})"
        elif op.name == "broadcast_to":
            self.strided.add(out)
            text = f"np.broadcast_to({source}, {tuple(p['shape'])})"
        else:
            self.strided.add(out)
            text = f"{source}[{index_text(p['index'], [])}]"
        self.names[out] = out.name
        self.lines.append(f"{out.name} = {text}")

    transposes: set[Var]

    # ---- the whole ----
    def source(self) -> str:
        self.transposes = set()
        last = None
        for block in self.blocks:
            line = block.ops[0].origin.line
            if line and line != last:
                self.lines.append(f"# {line}")
                last = line
            if block.shape is None:
                if block.ops[0].name not in VIEWS:
                    self.lines.append(
                        f"# [{block.ops[0].origin.part}] {block.ops[0].out.dtype}{list(block.ops[0].out.shape)}"
                    )
                self.single(block.ops[0])
            else:
                self.loop(block)
        results = [self.name(r) for r in self.program.results]
        gradients = [self.name(g) for g in self.program.gradients]
        outside, inside = self.captured_arrays()
        arguments = [v.name for v in self.program.arguments] + [
            f"drawn_{i + 1}" for i in range(len(self.draws))
        ]
        works = [f"work_{d}" for d in self.sizes]
        homes = [
            f"{b.name} = work_{b.dtype}[{self.offsets[b]}:{self.offsets[b] + b.size}].reshape({b.shape})"
            for b in self.plan.buffers
        ]
        given = ", ".join([*arguments, *outside, *works])
        out = [f"out_{i + 1}" for i in range(len(results))]
        code = [f'"""{self.title}"""', "", "import math", "", "import numpy as np", "from numba import njit"]
        code += ["from numpy import bool_, float32, float64, inf, int8, int16, int32, int64, nan", ""]
        code += [f"{name} = {dtype}({value})" for (dtype, value), name in self.numbers.items()]
        code += [f"{n} = {spelled(v)}" for n, v in self.constants.items()]
        code += [
            "",
            "",
            '@njit(fastmath={"reassoc", "contract", "arcp", "nsz"}, error_model="numpy", nogil=True, cache=True)',
        ]
        code += [f"def program({given}):"]
        code += [f"    {line}" for line in (*inside, *homes, "", *self.lines)]
        code += [f"    {o} = {r}.copy()" for o, r in zip(out, results)]
        code += [
            f"    return {', '.join(out)}{',' if len(out) == 1 else ''}" if out else "    return 0",
            "",
            "",
        ]
        code += [f"def build({', '.join(dict.fromkeys(v.name for v in self.program.captured))}):"]
        code += [f"    work_{d} = np.zeros({n}, {d!r})" for d, n in self.sizes.items()]
        draws = "".join(
            f", draw({op.params['shape']}, {str(op.params['dtype'])!r}, {op.params['place']!r})"
            for op in self.draws
        )
        plain = ", ".join(v.name for v in self.program.arguments)
        call = f"program({', '.join(x for x in (plain + draws, *outside, *works) if x)})"
        code += [
            "",
            f"    def step({plain}):",
            f"        return {call}" if out else f"        {call}\n        return ()",
            "",
        ]
        code += [f"    {line}" for line in self.gradient_views(gradients)]
        code += [f"    return step, ({', '.join(gradients)}{',' if len(gradients) == 1 else ''})", ""]
        if self.draws:
            code.insert(6, "\nfrom tapegrad.autograd.random import draw")
        return "\n".join(code)

    def captured_arrays(self) -> tuple[list[str], list[str]]:
        """The names of the arrays to pass, and lines that cut the others out of them."""
        outside: list[str] = []
        inside: list[str] = []
        seen: set[str] = set()
        for v in self.program.captured:
            if v.name in seen:
                continue
            seen.add(v.name)
            whole = next(
                (w for w in self.program.captured if w.ndim == 1 and w.name != v.name and w.dtype == v.dtype
                 and v.dense and w.span[0] <= v.span[0] and v.span[1] <= w.span[1] and w.size > v.size), None,
            )  # fmt: skip
            if whole is None:
                outside.append(v.name)
            else:
                start = (v.span[0] - whole.span[0]) // v.dtype.itemsize
                inside.append(f"{v.name} = {whole.name}[{start}:{start + v.size}].reshape({v.shape})")
        return outside, inside

    def gradient_views(self, gradients: list[str]) -> list[str]:
        """Lines that find the gradients' arrays again from outside."""
        lines: list[str] = []
        buffers = {b.name: b for b in self.plan.buffers}
        for v, name in zip(self.program.gradients, gradients):
            if v in self.plan.parts:
                joined, a, b = self.plan.parts[v]
                start = self.offsets[self.plan.home[joined]]
                lines.append(f"{name} = work_{v.dtype}[{start + a}:{start + b}].reshape({v.shape})")
            elif name in buffers:
                start = self.offsets[buffers[name]]
                lines.append(f"{name} = work_{v.dtype}[{start}:{start + v.size}].reshape({v.shape})")
            else:
                raise Unsupported("a gradient that is a view is left to NumPy")
        return lines


def element_of(name: str, shape: tuple[int, ...], indices: list[str], flat: bool) -> str:
    return f"{name}_flat[i0]" if flat else f"{name}[{', '.join(indices) or '()'}]"
