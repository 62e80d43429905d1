"""`tg.tape(t)`: the recorded calls behind a tensor as text, Mermaid or DOT, with the adjoint program beside them."""

from collections.abc import Mapping
from itertools import count
from typing import Any

from tapegrad.autograd.backward import apply_rules, match_shape_dtype
from tapegrad.autograd.flags import changed_flags
from tapegrad.autograd.recorder import Recorder
from tapegrad.autograd.structure import is_module
from tapegrad.autograd.tensor import Node, Tensor


class Tape:
    """The calls behind a tensor in the order they ran (the Wengert list), and the adjoint program.

    str(tape)      two columns: each call, and beside it what the backward pass does there, read from the bottom up
    tape.mermaid() the graph for Markdown pages;  tape.dot() the graph for Graphviz
    tape.nodes     the recorded calls;  tape.leaves  the tensors they start from
    """

    def __init__(self, output: Tensor, names: Mapping[str, Tensor]) -> None:
        self.output = output
        self.nodes = _nodes(output)
        self.leaves: dict[Tensor, str] = {}
        self.calls: dict[Node, str] = {node: f"v{i}" for i, node in enumerate(self.nodes, 1)}
        known = {tensor: name for name, tensor in names.items()}
        for node in self.nodes:
            for t in node.recorded_inputs():
                if isinstance(t, Tensor) and t.node is None and t not in self.leaves:
                    kind = "p" if t.requires_grad else "x"
                    number = sum(n.startswith(kind) and n[1:].isdigit() for n in self.leaves.values()) + 1
                    self.leaves[t] = known.get(t, f"{kind}{number}")

    def name(self, t: Any) -> str:
        """What an input is called: a leaf's name, a call's, or the number itself."""
        if not isinstance(t, Tensor):
            return repr(t)
        if t.node is None:
            return self.leaves.get(t, "x")
        return self.calls[t.node] + (f"[{t.index}]" if t.node.primitive.outputs > 1 else "")

    def call(self, node: Node) -> str:
        inputs = [self.name(t) for t in node.recorded_inputs()]
        options = [f"{k}={v!r}" for k, v in node.params.items() if v is not None and v is not False]
        return f"{node.primitive.name}({', '.join(inputs + options)})"

    def adjoint(self) -> dict[Node, list[str]]:
        """The lines of the backward pass at each call: the primitives its rules call, and what they add to."""
        lines: dict[Node, list[str]] = {}
        cotangent: dict[Any, Any] = {}  # node output or leaf -> (its cotangent, its name)
        names: dict[int, str] = {id(t.data): name for t, name in self.leaves.items()}
        for node in self.nodes:
            for i, out in enumerate(node.out if isinstance(node.out, tuple) else (node.out,)):
                names[id(out)] = self.name(Tensor(out, True, node, i))
        kept: list[Any] = []  # alive until the end, so that no id is used twice
        current: list[
            list[str]
        ] = []  # [result, "=" or "+=", call] of each primitive run for the call at hand

        number = count(1)

        def call_made(primitive: Any, args: Any, params: Any, result: Any) -> None:
            results = result if isinstance(result, tuple) else (result,)
            kept.extend(results)
            for r in results:
                names.setdefault(id(r.data), f"t{next(number)}")
            shown = [names.get(id(a.data), "const") if isinstance(a, Tensor) else repr(a) for a in args]
            options = [f"{k}={v!r}" for k, v in params.items() if v is not None and v is not False]
            call = f"{primitive.name}({', '.join(shown + options)})"
            current.append([", ".join(names[id(r.data)] for r in results), "=", call])

        one = Tensor(self.output.backend.xp.ones_like(self.output.data))
        cotangent[(self.output.node, self.output.index)] = one
        names[id(one.data)] = f"d{self.name(self.output)}"
        listener = Recorder()
        listener.primitive = call_made  # type: ignore[method-assign]
        with changed_flags(grad=False, raw=False, recorder=listener):
            for node in reversed(self.nodes):
                gs = [cotangent.get((node, i)) for i in range(node.primitive.outputs)]
                for i, g in zip(node.wanted, apply_rules(node, gs, node.wanted, True), strict=True):
                    if g is None:
                        continue
                    t = node.recorded_inputs()[i]
                    key = t if t.node is None else (t.node, t.index)
                    g = match_shape_dtype(g, t.data)
                    known, name = cotangent.get(key), f"d{self.name(t)}"
                    kept.append(g)
                    made = names.get(id(g.data), "?")
                    if known is not None:  # the addition stands as +=, and not as the call of add that it is
                        with changed_flags(recorder=None):
                            cotangent[key] = known + g
                        current.append([name, "+=", made])
                        names[id(cotangent[key].data)] = name
                        continue
                    cotangent[key] = g
                    fitting = [line for line in current if line[0] == made and made.startswith("t")]
                    if fitting:
                        fitting[-1][0] = name
                    else:
                        current.append([name, "=", made])
                    names[id(g.data)] = name
                lines[node] = [" ".join(line) for line in current]
                current.clear()
        return lines

    def __str__(self) -> str:
        out = [f"{describe(self.output)}, made by {len(self.nodes)} calls from {len(self.leaves)} leaves", ""]
        for t, name in self.leaves.items():
            out.append(f"  {name} = leaf  {describe(t)}" + (", requires grad" if t.requires_grad else ""))
        left = [f"  {self.calls[n]} = {self.call(n)}" for n in self.nodes]
        shapes = [", ".join(f"{a.dtype}{list(a.shape)}" for a in _outputs(n)) for n in self.nodes]
        adjoint = self.adjoint()
        title = "  forward, from the top down"
        wide, wide_shape = max(map(len, [title, *left])), max(map(len, shapes), default=0)
        out += ["", f"{title:{wide}}  {'':{wide_shape}}  | backward, from the bottom up"]
        for node, call, shape in zip(self.nodes, left, shapes, strict=True):
            first, *rest = reversed(adjoint[node])
            out.append(f"{call:{wide}}  {shape:{wide_shape}}  | {first}".rstrip())
            out += [f"{'':{wide}}  {'':{wide_shape}}  | {line}" for line in rest]
        start = f"d{self.name(self.output)} = ones"
        return "\n".join([*out, f"{'':{wide}}  {'':{wide_shape}}  | {start}"])

    __repr__ = __str__

    def mermaid(self) -> str:
        """The graph as a Mermaid flowchart: leaves as rounded boxes, calls as boxes, arrows along the data."""
        lines = ["flowchart TD"]
        for t, name in self.leaves.items():
            lines.append(f'    {_safe(name)}(["{name}<br/>{t.dtype} {list(t.shape)}"])')
        for node, name in self.calls.items():
            lines.append(f'    {name}["{name} = {node.primitive.name}<br/>{_shapes(node)}"]')
        return "\n".join(lines + [f"    {_safe(a)} --> {b}" for a, b in self.edges()])

    def dot(self) -> str:
        """The graph in Graphviz's DOT language."""
        lines = ["digraph tape {", "    node [shape=box, fontname=monospace]"]
        for t, name in self.leaves.items():
            lines.append(f'    "{name}" [shape=ellipse, label="{name}\\n{t.dtype} {list(t.shape)}"]')
        for node, name in self.calls.items():
            lines.append(f'    "{name}" [label="{name} = {node.primitive.name}\\n{_shapes(node)}"]')
        return "\n".join([*lines, *(f'    "{a}" -> "{b}"' for a, b in self.edges()), "}"])

    def edges(self) -> list[tuple[str, str]]:
        """(from, to) for every tensor that goes into a call."""
        return [
            (self.leaves[t] if t.node is None else self.calls[t.node], self.calls[node])
            for node in self.nodes
            for t in node.recorded_inputs()
            if isinstance(t, Tensor)
        ]


def tape(t: Tensor, names: Any = None) -> Tape:
    """The recorded calls behind a tensor, to be printed: `print(tg.tape(loss))`.

    names    a Module, whose parameters are then called by their paths, or a dict {name: leaf}

    Raises ValueError for a tensor that nothing was recorded for, or whose graph a backward pass has freed.
    """
    if not isinstance(t, Tensor):
        raise TypeError(f"tape: expected a Tensor, got {type(t).__name__}")
    if t.node is None:
        raise ValueError(
            "tape: nothing was recorded for this tensor: it is a leaf, or was made under no_grad or of tensors that do "
            "not require grad"
        )
    if t.node.out is None:
        raise ValueError(
            "tape: the graph was freed by a backward pass: print the tape before, or use retain_graph=True"
        )
    if names is not None and is_module(names):
        names = dict(names.named_parameters())
    return Tape(t, names or {})


def describe(t: Tensor) -> str:
    return f"{t.dtype}{list(t.shape)}"


def _outputs(node: Node) -> tuple[Any, ...]:
    return node.out if isinstance(node.out, tuple) else (node.out,)


def _shapes(node: Node) -> str:
    return ", ".join(f"{a.dtype} {list(a.shape)}" for a in _outputs(node))


def _safe(name: str) -> str:
    return name.replace(".", "_")


def _nodes(output: Tensor) -> list[Node]:
    """Every recorded call behind a tensor, in the order they ran."""
    found: set[Node] = set()
    stack = [output.node]
    while stack:
        node = stack.pop()
        if node is not None and node not in found:
            found.add(node)
            stack += [t.node for t in node.recorded_inputs() if isinstance(t, Tensor)]
    return sorted(found, key=lambda n: n.serial)
