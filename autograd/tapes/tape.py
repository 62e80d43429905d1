"""`tg.tape(t)`: the recorded calls behind a tensor as text, Mermaid or DOT, with the adjoint program beside them."""

import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from os import PathLike
from typing import Any

from tapegrad.autograd.aliases import Array, TensorLike, Tree, Value
from tapegrad.autograd.backward import first_cotangent
from tapegrad.autograd.diagnostics import plural
from tapegrad.autograd.flags import outside
from tapegrad.autograd.tapes.adjoint import Adjoint, Start, options_of
from tapegrad.autograd.tapes.names import (
    converted_from,
    given_names,
    names_kept,
    names_of_converted,
    numbered,
    prefixes,
    unused,
)
from tapegrad.autograd.tapes.origins import note, sources
from tapegrad.autograd.tapes.repeats import fold_repeats
from tapegrad.autograd.tapes.sites import outputs_of
from tapegrad.autograd.tensor import Node, Tensor
from tapegrad.autograd.writes import next_serial

FRAMED = 1000  # calls: a notebook keeps a page of so many


class Tape:
    """The calls behind a tensor in the order they ran (the Wengert list), and the adjoint program.

    str(tape)      two columns: each call, and beside it what the backward pass does there, read from the bottom up; of
                   the many steps of a scan the first and the last, and a line that says how those between them differ
    tape.html(path) a page to step through: values, cotangents, rules
    tape.what_if({"x": value}) the tape of the same calls on other numbers
    tape.mermaid() the graph for Markdown pages;  tape.dot() the graph for Graphviz
    tape.nodes     the recorded calls;  tape.leaves  the tensors they start from
    tape.starts    where the backward pass starts: (tensor, its cotangent, or None for ones)
    tape.names     what was given a name, leaves and others

    The cotangent of x is called dx; all have a longer prefix, as in d_x, where that is the name of another leaf.
    """

    def __init__(
        self,
        output: Tensor,
        names: Mapping[str, Tensor],
        starts: Sequence[Start] = (),
    ) -> None:
        self.output = output
        self.made = next_serial()
        # Of `what_if`: the tape whose calls these are, on other numbers, and the new tensors of its leaves.
        self.base: tuple[Tape, dict[Tensor, Tensor]] | None = None
        self.starts = starts or [(output, None)]
        self.nodes = _nodes([t for t, _ in self.starts])
        self.names = {tensor: name for name, tensor in names.items()}
        known = names_kept(self.nodes, self.names)
        known |= names_of_converted(self.nodes, known)
        # A list of leaves called v1 has v1[0], as a call of several results has.
        used = {part for name in known.values() for part in (name, name.partition("[")[0])}
        free = {kind: numbered(kind, used) for kind in "pxv"}
        self.leaves: dict[Tensor, str] = {}
        taken = [t for node in self.nodes for t in node.recorded_inputs() if isinstance(t, Tensor)]
        # An output that is a leaf: of a function that returns an argument.
        for t in (*taken, *(t for t, _ in self.starts)):
            if t.node is None and t not in self.leaves:
                self.leaves[t] = known.get(t) or next(free["p" if t.requires_grad else "x"])
        self.calls: dict[Node, str] = {node: next(free["v"]) for node in self.nodes}
        self.prefix = next(d for d in prefixes() if not any(d + name in used for name in self.everything()))
        self.unseen: list[str] = []  # names of tensors that are not on the tape

    def everything(self) -> list[str]:
        """The names of all leaves, calls and results."""
        parts = ((name, node.primitive.outputs) for node, name in self.calls.items())
        results = [f"{name}[{i}]" for name, outputs in parts if outputs > 1 for i in range(outputs)]
        return [*self.leaves.values(), *self.calls.values(), *results]

    def name(self, t: Value) -> str:
        """What an input is called: a leaf's name, a call's, or the number itself."""
        if not isinstance(t, Tensor):
            return repr(t)
        if t.node is None:
            return self.leaves.get(t, "x")
        return self.calls[t.node] + (f"[{t.output_index}]" if t.node.primitive.outputs > 1 else "")

    def cotangent(self, t: Tensor) -> str:
        """What the cotangent of a tensor is called."""
        return self.prefix + self.name(t)

    def word(self, word: str) -> str:
        """A word of the backward column, another one where a leaf has it for its name."""
        return unused(word, {*self.leaves.values()})

    def call(self, node: Node) -> str:
        inputs = [self.name(t) for t in node.recorded_inputs()]
        return f"{node.primitive.name}({', '.join(inputs + options_of(node.params))})"

    def adjoint(self) -> dict[Node, list[str]]:
        """The lines of the backward pass at each call: the primitives its rules call, and what they add to."""
        return Adjoint(self).lines

    def html(
        self,
        path: str | PathLike[str] | None = None,
        step: Callable[..., object] | None = None,
        title: str = "",
    ) -> str:
        """The tape as one page of HTML, written to `path` if given, and returned: each call with its value, its
        cotangent and its gradient rule. The file needs no network. The gradient rules run once for it.

        step    a function under `tg.jit` that computes the same and was called: its emitted lines stand with the calls
        title   the heading; by default, the call that made the output

        Raises RuntimeError if a tensor was written to after the calls were recorded; ValueError if `step` has no
        program, or one of other calls, numbers or weights. Lines of your code are headings if the forward pass ran
        under `with tg.keep_lines():`.
        """
        from tapegrad.autograd.pages.page import tape_page, written

        if not isinstance(title, str):
            raise TypeError(f"html: title: expected a text, got {title!r}")
        outside("tape.html")
        return written(tape_page(self, title, step), path)

    def what_if(self, changes: Mapping[Any, TensorLike]) -> "Tape":
        """The tape of the same calls on other numbers: their values, and with its page or `output.backward()` the
        cotangents, are those of the program run on these numbers. This tape stays as it is.

            changed = tape.what_if({"x": [1.0, 2.0]})
            changed.output.item()
            changed.html("changed.html")

        The forward pass must have run under `with tg.keep_lines():`, which notes what a tape leaves out: comparisons,
        `detach()`, what runs without gradients, and what the program reads as Python numbers. Random draws stay. What
        ran before the `with`, and raw arrays (`t.data`), stay as they are. Functions under `checkpoint` and
        `custom_gradient` run again themselves.

        Args:
            changes: A dict {leaf, or its name: new value}, of the leaf's shape and dtype; numbers and lists are cast.

        Returns:
            A Tape with the same names. Leaves that are not changed are the same tensors.

        Raises:
            ValueError: No leaf of that name, another shape, or a number that is too large for the dtype.
            TypeError: Another dtype.
            RuntimeError: Calls outside of `keep_lines`; a tensor that was written to, or that another thread made; a
                gradient of `.backward()`; what a function under `checkpoint` or `custom_gradient` uses without getting
                it by position, where the change reaches it; or something that the program looked at inside of
                `keep_lines`, before the tape was made, is another one now, so that it may do something else.
        """
        outside("tape.what_if")
        from tapegrad.autograd.tapes.what_if.again import Replay
        from tapegrad.autograd.tapes.what_if.values import news_of

        base, earlier = self.base or (self, {})
        leaf_of = {new: leaf for leaf, new in earlier.items()}
        news = earlier | {leaf_of.get(t, t): new for t, new in news_of(self, changes).items()}
        replay = Replay(base, news)
        starts = [(replay.stand_in(t), replay.stand_in(g)) for t, g in base.starts]
        changed = Tape(replay.stand_in(base.output), {}, starts)
        changed.base = base, news
        changed.leaves = {replay.stand_in(leaf): name for leaf, name in base.leaves.items()}
        changed.calls = dict(zip(changed.nodes, base.calls.values(), strict=True))
        changed.names = {replay.news.get(t, t): name for t, name in base.names.items()}
        changed.prefix, changed.unseen = base.prefix, base.unseen
        return changed

    def _repr_html_(self) -> str:
        from tapegrad.autograd.pages.page import in_a_frame, tape_page

        outside("_repr_html_ of a tape")
        if len(self.nodes) > FRAMED:
            return f"<p>A tape of {plural(len(self.nodes), 'call')}: write <code>tape.html('tape.html')</code></p>"
        try:
            return in_a_frame(tape_page(self, "", None))
        except RuntimeError as error:  # a backward pass or a write since: a notebook shows what it can
            calls = plural(len(self.nodes), "call")
            return f"<p>A tape of {calls}, whose page cannot be made: {escape(str(error))}</p>"

    def __str__(self) -> str:
        calls, leaves = plural(len(self.nodes), "call"), plural(len(self.leaves), "leaf", "leaves")
        out = [f"{describe(self.output)}, made by {calls} from {leaves}", ""]
        out += [f"  {', '.join(self.unseen)}: not on this tape"] if self.unseen else []
        for t, name in self.leaves.items():
            out.append(f"  {name} = leaf  {describe(t)}" + (", requires grad" if t.requires_grad else ""))
        left = [f"  {self.calls[n]} = {self.call(n)}" for n in self.nodes]
        shapes = [", ".join(f"{a.dtype}{list(a.shape)}" for a in _outputs(n)) for n in self.nodes]
        adjoint = self.adjoint()
        title = "  forward, from the top down"
        wide, wide_shape = max(map(len, [title, *left])), max(map(len, shapes), default=0)
        out += ["", f"{title:{wide}}  {'':{wide_shape}}  | backward, from the bottom up"]
        for node, call, shape in zip(self.nodes, left, shapes, strict=True):
            first, *rest = reversed(fold_repeats(adjoint[node]))
            out.append(f"{call:{wide}}  {shape:{wide_shape}}  | {first}".rstrip())
            out += [f"{'':{wide}}  {'':{wide_shape}}  | {line}" for line in rest]
        begun = [self.cotangent(t) for t, _ in self.starts]
        words = [self.word("ones" if g is None else "given") for _, g in self.starts]
        starts = [f"{name} {'+=' if name in begun[:i] else '='} {words[i]}" for i, name in enumerate(begun)]
        out += [f"{'':{wide}}  {'':{wide_shape}}  | {start}" for start in reversed(starts)]
        return "\n".join(" ".join(line.splitlines()) for line in out)  # a name may have several lines

    __repr__ = __str__

    def mermaid(self) -> str:
        """The graph as a Mermaid flowchart: leaves as rounded boxes, calls as boxes, arrows along the data."""
        lines = ["flowchart TD"]
        ids = ids_of([*self.leaves.values()])
        for t, name in self.leaves.items():
            lines.append(f'    {ids[name]}(["{entities(name)}<br/>{t.dtype} {list(t.shape)}"])')
        for node, name in self.calls.items():
            lines.append(f'    {name}["{name} = {entities(node.primitive.name)}<br/>{_shapes(node)}"]')
        return "\n".join(lines + [f"    {ids.get(a, a)} --> {b}" for a, b in self.edges()])

    def dot(self) -> str:
        """The graph in Graphviz's DOT language."""
        lines = ["digraph tape {", "    node [shape=box, fontname=monospace]"]
        for t, name in self.leaves.items():
            lines.append(
                f'    "{quoted(name)}" [shape=ellipse, label="{quoted(name)}\\n{t.dtype} {list(t.shape)}"]'
            )
        for node, name in self.calls.items():
            lines.append(f'    "{name}" [label="{name} = {quoted(node.primitive.name)}\\n{_shapes(node)}"]')
        return "\n".join([*lines, *(f'    "{quoted(a)}" -> "{b}"' for a, b in self.edges()), "}"])

    def edges(self) -> list[tuple[str, str]]:
        """(from, to) for every tensor that goes into a call."""
        return [
            (self.leaves[t] if t.node is None else self.calls[t.node], self.calls[node])
            for node in self.nodes
            for t in node.recorded_inputs()
            if isinstance(t, Tensor)
        ]


def tape(t: Tensor, names: Tree = None, cotangent: TensorLike | None = None) -> Tape:
    """The recorded calls behind a tensor: `print(tg.tape(loss))`, or a page, `tg.tape(loss).html("tape.html")`.

    Args:
        t: The tensor.
        names: A Module, whose parameters are then called by their paths, or a dict {name: leaf}, or {name: Module},
            whose parameters are then called "name.path".
        cotangent: What `t.backward` is given: where the cotangents of the page start. None is ones, in t's shape.

    Raises:
        TypeError: No tensor, or names of another form.
        ValueError: A tensor that nothing was recorded for, or whose graph a backward pass has freed; a cotangent of
            another shape; one tensor under two names, or a name for one that is no leaf.
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
    start = None if cotangent is None else Tensor(first_cotangent(t, cotangent, as_tensor=False))
    if start is not None and isinstance(cotangent, Tensor):
        note(start, None, (cotangent,))
    made = Tape(t, given_names(names), [(t, start)])
    if isinstance(names, Mapping):  # of Modules, a part may be unused
        off = {t: name for name, t in names.items() if isinstance(t, Tensor) and t not in made.leaves}
        behind = sources(made.leaves) if off else set()
        behind.update(s for leaf in made.leaves for s in converted_from(leaf))
        made.unseen = [name for t, name in off.items() if t not in behind]
    return made


def describe(t: Tensor) -> str:
    return f"{t.dtype}{list(t.shape)}"


def _shapes(node: Node) -> str:
    return ", ".join(f"{a.dtype} {list(a.shape)}" for a in _outputs(node))


def _outputs(node: Node) -> tuple[Array, ...]:
    if node.out is None:
        raise RuntimeError(
            "tape: a backward pass has freed the graph since: print the tape before it, or pass retain_graph=True"
        )
    return outputs_of(node)


def ids_of(names: list[str]) -> dict[str, str]:
    """name -> what stands for it in Mermaid, which takes letters, digits and underscores, and has many keywords: `w1`
    can be none, and stands for itself."""
    ids: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        plain = re.sub(r"\W", "_", name, flags=re.ASCII)
        ids[name] = name if re.fullmatch("[a-z][0-9]+", name) else unused(f"leaf_{plain}", taken)
        taken.add(ids[name])
    return ids


def entities(name: str) -> str:
    """A name between the quotes of Mermaid, which reads Markdown there, links and icons, also in what was escaped: a
    space without width on both sides (65279) makes a character no markup, and a backtick becomes one that is a letter.
    """
    markup = (
        r"[^\w .\[\]'-]|(?<![^\W_])[ ._-]|[ ._-](?![^\W_])|(?<=^www)\."  # not what joins letters and digits
    )
    plain = name.replace("`", "\u02cb")
    return re.sub(markup, lambda m: f"#65279;#{ord(m[0])};#65279;", plain)


def quoted(name: str) -> str:
    """A name between the quotes of DOT."""
    return name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _nodes(outputs: Sequence[Tensor]) -> list[Node]:
    """Every recorded call behind some tensors, in the order they ran."""
    found: set[Node] = set()
    stack = [t.node for t in outputs]
    while stack:
        node = stack.pop()
        if node is not None and node not in found:
            found.add(node)
            stack += [t.node for t in node.recorded_inputs() if isinstance(t, Tensor)]
    return sorted(found, key=lambda n: n.serial)
