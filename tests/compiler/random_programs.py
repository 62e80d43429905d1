"""Random programs as text: a Hypothesis strategy. What it draws is a function that a person can read and run."""

import linecache
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tapegrad as tg

# Where the slope jumps, or a choice is made, the point is moved to where no computed number comes to lie by being
# exactly 0 or 1: sums that are added up in another order would end on the other side of it.
UNARY = [
    "-{a}", "+{a}", "{a} * 1.0", "1.0 * {a}", "{a} * 0.5", "0.5 - {a}", "{a} + 3.0", "{a} / 2.0", "{a} * {a}",
    "{a} ** 2", "1.0 / ({a} * {a} + 1.0)", "tg.tanh({a})", "tg.sin({a})", "tg.exp(-tg.abs({a} + 0.041))", "tg.erf({a})",
    "tg.sigmoid({a})", "tg.softplus({a})", "tg.log1p({a} * {a})", "tg.sqrt({a} * {a} + 0.1)", "tg.relu({a} + 0.037)",
    "tg.maximum({a}, 0.123)", "tg.clip({a}, -0.513, 0.727)", "tg.where({a} > 0.217, {a}, {a} * 0.3)",
    "tg.where(({a} > -0.31) & ({a} < 0.83), {a}, 0.0)", "tg.where({a} < 0.171, 0.0, {a} * -2.0)",
    "tg.floor({a} + 0.371)", "({a} > 0.129).astype({a}.dtype)", "{a}.astype('float32').astype({a}.dtype)",
    "{a}.detach()", "{a} * tg.ones_like({a})", "-(-{a})",
]  # fmt: skip
SHAPING = [
    "{a}.sum()", "{a}.mean(axis=0)", "{a}.sum(axis=-1, keepdims=True)", "{a}.max(axis=0)", "{a}.min(axis=-1)",
    "{a} - {a}.mean(axis=-1, keepdims=True)", "tg.var({a}, axis=0)", "tg.prod(tg.tanh({a}), axis=0)",
    "tg.softmax({a})", "tg.log_softmax({a}, axis=0)", "tg.logsumexp({a}, axis=-1)", "{a}.T", "{a}.reshape(-1)",
    "{a}.reshape({a}.shape[::-1])", "{a}[1:]", "{a}[::-1]", "{a}[..., 0]", "{a}[-1]", "{a}[:, None]", "{a}[None]",
    "tg.permute_dims({a}, tuple(range({a}.ndim))[::-1])", "tg.broadcast_to({a}, (2, *{a}.shape))",
    "{a}[tg.tensor([0, -1, 0])]", "{a}[{a} > 0.2].sum()", "tg.concat([{a}, {a} * 2.0])", "tg.stack([{a}, {a}])",
    "tg.index_update({a}, 0, 0.5)", "{a}.T + {a}", "tg.take_along_axis({a}, tg.argmax(x0 * 1.0, axis=0)[None], axis=0)",
]  # fmt: skip
BINARY = [
    "{a} + {b}", "{a} - {b}", "{a} * {b}", "{a} / ({b} * {b} + 1.0)", "tg.maximum({a}, {b} + 0.0137)",
    "tg.where({a} > {b} + 0.0219, {a}, {b} * 0.5)", "{a} @ {b}", "{a} @ {b}", "tg.sqrt({a} * {a} + {b} * {b} + 1.0)",
    "tg.atan2({a}, tg.softplus({b}) + 1.0)", "tg.concat([{a}, {b}])", "tg.minimum({a}, {b} - 0.0173)",
]  # fmt: skip
WRITES = [
    "{b}.assign(tg.tanh({b} + {a}.detach().sum()))",
    "{b}.assign({a}.detach())",
    "{b}.assign({b} * 0.5)",
]
# These are left to eager.
RARE = [
    *WRITES,
    "{b}.T.assign({b}.T + 0.25)",
    "{b}[1:].assign({b}[1:] * 0.5 + 0.1)",
]
SHAPES = [(3, 3), (3,), (1, 3), (), (2, 3), (0, 3), (2, 3, 3)]
OPTIMIZERS = {
    "SGD": {"lr": 0.1}, "SGD momentum": {"lr": 0.1, "momentum": 0.5, "nesterov": True},
    "SGD clipped": {"lr": 0.1, "global_clipnorm": 0.3}, "RMSprop": {"centered": True}, "Adam": {"amsgrad": True},
}  # fmt: skip
MODES = ("step", "steps that add up", "gradient", "inference", "second")
number = count(1)


@dataclass
class RandomProgram:
    """A function f of `arguments`, which uses leaves w0, w1 (that require grad), buffers b0, b1 and an optimizer."""

    mode: str
    dtype: str
    optimizer: str
    shapes: dict[str, tuple[int, ...]]  # of arguments x…, leaves w… and buffers b…
    lines: list[str] = field(default_factory=list)
    returned: list[str] = field(default_factory=list)

    @property
    def arguments(self) -> list[str]:
        return [name for name in self.shapes if name[0] == "x"]

    def array(self, name: str, call: int) -> np.ndarray:
        rng = np.random.default_rng([call, *name.encode()])
        return rng.normal(size=self.shapes[name]).astype(self.dtype)

    def surroundings(self) -> dict[str, Any]:
        """Fresh tensors and a fresh optimizer, by name."""
        held = {n: tg.tensor(self.array(n, 0)) for n in self.shapes if n[0] != "x"}
        if not self.mode.startswith("step"):
            return {"tg": tg, **held}
        leaves = {n: t.requires_grad_() for n, t in held.items() if n[0] == "w"}
        opt = getattr(tg.optim, self.optimizer.split()[0])(leaves, **OPTIMIZERS[self.optimizer])
        return {"tg": tg, **held, "opt": opt}

    @property
    def text(self) -> str:
        given, found = ", ".join(self.arguments), ", ".join(self.returned)
        loss = " + ".join(
            ["(w0 * w0).sum()", "tg.sin(w1).sum()", *(f"tg.tanh({v}).sum()" for v in self.returned)]
        )
        lines = list(self.lines)
        if self.mode == "inference":
            lines.append(
                f"return {{'found': [{found}], 'again': ({self.returned[-1]}, b0, {self.arguments[0]})}}"
            )
        elif self.mode in ("gradient", "second"):
            at = tuple(range(len(self.arguments)))
            lines = [f"def loss({given}):", *(f"    {line}" for line in lines), f"    return {loss}"]
            if self.mode == "second":
                inner = f"tg.grad(loss, argnums={at})({given})"
                lines += [f"def slope({given}):", f"    return sum((g * g).sum() for g in {inner})"]
            of = "slope" if self.mode == "second" else "loss"
            lines.append(f"return tg.value_and_grad({of}, argnums={at})({given})")
        else:
            lines = ["opt.zero_grad()"] * (self.mode == "step") + lines
            lines += [f"loss = {loss}", "loss.backward()", "opt.step()"]
            lines.append(f"return loss.detach(), {', '.join(f'{v}.detach()' for v in self.returned)}")
        return "\n".join([f"def f({given}):", *(f"    {line}" for line in lines), ""])

    def function(self, around: dict[str, Any]) -> Any:
        text, name = self.text, f"<random program {next(number)}>"
        linecache.cache[name] = (len(text), None, text.splitlines(True), name)
        exec(compile(text, name, "exec"), around)
        return around["f"]

    def __repr__(self) -> str:
        return f"{self.optimizer}, {self.dtype}, {self.shapes}\n{self.text}"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """For Hypothesis, which prints what fails."""
        printer.text(repr(self))


@st.composite
def programs(draw: Any, most: int = 40) -> RandomProgram:
    """Programs of up to `most` statements. Each is tried while it is drawn, so that only valid ones are put in."""
    shapes = {n: draw(st.sampled_from(SHAPES)) for n in ("x0", "x1", "w0", "w1", "b0", "b1")}
    dtype, optimizer = draw(st.sampled_from(["float64", "float32"])), draw(st.sampled_from(list(OPTIMIZERS)))
    program = RandomProgram(mode := draw(st.sampled_from(MODES)), dtype, optimizer, shapes)
    kinds = {
        "unary": UNARY, "binary": BINARY, "shaping": SHAPING, "write": draw(st.sampled_from([WRITES] * 9 + [RARE])),
    }  # fmt: skip
    known = program.surroundings() | {n: tg.tensor(program.array(n, 0)) for n in program.arguments}
    readable = [n if n[0] != "b" or mode == "inference" else f"(+{n})" for n in shapes]
    with tg.no_grad(), np.errstate(all="ignore"):
        for i in range(draw(st.integers(1, most if mode != "second" else 12))):
            a, b = (draw(st.sampled_from(readable[::-1])) for _ in "ab")
            kind = draw(st.sampled_from(list(kinds)))
            if kind == "write":
                b = draw(st.sampled_from(["b0", "b1"]))
            line = draw(st.sampled_from(kinds[kind])).format(a=a, b=b)
            try:
                if kind == "write":
                    exec(line, known)
                else:
                    line, known[f"v{i}"] = f"v{i} = {line}", bounded(eval(line, known))
            except (ValueError, IndexError, TypeError, RuntimeError):
                continue
            program.lines.append(line)
            if kind != "write":
                if float(np.max(np.abs(known[f"v{i}"].numpy()), initial=0.0)) > 10:
                    program.lines.append(f"v{i} = tg.tanh(v{i})")
                    known[f"v{i}"] = tg.tanh(known[f"v{i}"])
                readable.append(f"v{i}")
    last = readable[-4:]
    program.returned = [*draw(st.permutations(last))]
    return program


def bounded(t: Any) -> Any:
    if t.size > 60 or not np.isfinite(t.numpy()).all():
        raise ValueError("too large")
    return t
