"""A recurrent network and a GPT, each loss written once, in terms of the functions of a library.

tapegrad's functions are compositions of its primitives; PyTorch's and JAX's are those that their users take, fused ones
(layer norm, attention) where the library has them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np

Arrays = dict[str, Any]
EPSILON = 1e-5


@dataclass(frozen=True)
class Network:
    """What the two have in common: how each library gets the parameters. `arrays` makes these, `loss` is of (functions
    of a library, parameters, x, y)."""

    lr: float = 1e-3
    optimizer: str = "adam"

    def batch(self) -> tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError

    def arrays(self) -> Arrays:
        raise NotImplementedError

    def loss(self, lib: Any, p: Arrays, x: Any, y: Any) -> Any:
        raise NotImplementedError

    def tapegrad(self, device: str) -> tuple[Any, Callable[..., Any]]:
        import tapegrad as tg

        p = {name: tg.nn.Parameter(tg.tensor(a, device=device)) for name, a in self.arrays().items()}
        lib = of_tapegrad()
        return list(p.values()), lambda x, y: self.loss(lib, p, x, y)

    def pytorch(self, device: str) -> tuple[Any, Callable[..., Any]]:
        import torch

        p = {name: torch.tensor(a, device=device, requires_grad=True) for name, a in self.arrays().items()}
        lib = of_pytorch()
        return list(p.values()), lambda x, y: self.loss(lib, p, x, y)

    def jax(self) -> tuple[Any, Callable[..., Any]]:
        import jax.numpy as jnp

        p = {name: jnp.asarray(a) for name, a in self.arrays().items()}
        lib = of_jax()
        return p, lambda p, x, y: self.loss(lib, p, x, y)


@dataclass(frozen=True)
class Recurrent(Network):
    """A recurrent network: h = tanh(x[:, t] w + h u + b) over all steps, the mean squared error of the last h, Adam."""

    steps: int = 50
    rows: int = 8
    units: int = 16
    scan: bool = False  # JAX's scan instead of a Python loop

    def scanned(self) -> "Recurrent":
        return replace(self, scan=True)

    def batch(self) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((self.rows, self.steps, self.units), dtype=np.float32)
        return x, np.tanh(x[:, -1] + x[:, -2])

    def arrays(self) -> Arrays:
        draw, n = np.random.default_rng(1).standard_normal, self.units
        w, u = (draw((n, n), dtype=np.float32) * n**-0.5 for _ in range(2))
        return {"w": w, "u": u, "b": np.zeros(n, np.float32), "c": np.zeros(n, np.float32)}

    def loss(self, lib: Any, p: Arrays, x: Any, y: Any) -> Any:
        cell = lambda h, x: lib.tanh(lib.linear(x, p["w"], p["b"]) + lib.linear(h, p["u"], p["c"]))
        h = lib.zeros((self.rows, self.units))
        if self.scan:
            h = lib.scan(lambda h, x: (cell(h, x), None), h, x.swapaxes(0, 1))[0]
        else:
            for t in range(self.steps):
                h = cell(h, x[:, t])
        return ((h - y) ** 2).mean()


@dataclass(frozen=True)
class Gpt(Network):
    """A GPT: layers of attention and an MLP, each behind a layer norm, over characters; the cross-entropy, Adam."""

    layers: int = 2
    width: int = 128
    heads: int = 4
    hidden: int = 512
    letters: int = 65
    length: int = 64
    rows: int = 16

    def batch(self) -> tuple[np.ndarray, np.ndarray]:
        letters = np.random.default_rng(0).integers(0, self.letters, (self.rows, self.length + 1))
        return letters[:, :-1].copy(), letters[:, 1:].ravel()

    def arrays(self) -> Arrays:
        rng, d = np.random.default_rng(1), self.width
        draw = lambda *shape: (rng.standard_normal(shape) * 0.05).astype(np.float32)
        zeros, ones = lambda n: np.zeros(n, np.float32), lambda n: np.ones(n, np.float32)
        p = {
            "letters": draw(self.letters, d),
            "places": draw(self.length, d),
            "scale": ones(d),
            "shift": zeros(d),
        }
        p |= {"head": draw(d, self.letters), "head_bias": zeros(self.letters)}
        for n in range(self.layers):
            shapes = {"qkv": (d, 3 * d), "out": (d, d), "up": (d, self.hidden), "down": (self.hidden, d)}
            for name, shape in shapes.items():
                p |= {f"{name}{n}": draw(*shape), f"{name}_bias{n}": zeros(shape[1])}
            for norm in ("first", "second"):
                p |= {f"{norm}_scale{n}": ones(d), f"{norm}_shift{n}": zeros(d)}
        return p

    def loss(self, lib: Any, p: Arrays, x: Any, y: Any) -> Any:
        h = p["letters"][x] + p["places"]
        for n in range(self.layers):
            linear = lambda name, x, n=n: lib.linear(x, p[f"{name}{n}"], p[f"{name}_bias{n}"])
            norm = lambda name, x, n=n: lib.layer_norm(x, p[f"{name}_scale{n}"], p[f"{name}_shift{n}"])
            parts = linear("qkv", norm("first", h)).reshape(self.rows, self.length, 3, self.heads, -1)
            mixed = lib.attention(*(lib.by_head(parts[:, :, i]) for i in range(3)))
            h = h + linear("out", lib.by_head(mixed).reshape(self.rows, self.length, self.width))
            h = h + linear("down", lib.gelu(linear("up", norm("second", h))))
        z = lib.linear(lib.layer_norm(h, p["scale"], p["shift"]), p["head"], p["head_bias"])
        return lib.cross_entropy(z.reshape(self.rows * self.length, self.letters), y)


def of_tapegrad() -> Any:
    """Functions of tapegrad's primitives."""
    import tapegrad as tg

    F = tg.nn.functional

    def layer_norm(x: Any, scale: Any, shift: Any) -> Any:
        d = x - x.mean(-1, keepdims=True)
        return d / tg.sqrt((d * d).mean(-1, keepdims=True) + EPSILON) * scale + shift

    def attention(q: Any, k: Any, v: Any) -> Any:
        past = tg.tensor(np.tril(np.ones((q.shape[-2],) * 2, bool)))
        scores = tg.where(past, q @ k.mT * q.shape[-1] ** -0.5, -1e9)
        return tg.softmax(scores, axis=-1) @ v

    return SimpleNamespace(
        tanh=tg.tanh, zeros=tg.zeros, linear=tg.linear, layer_norm=layer_norm, attention=attention,
        by_head=lambda x: tg.permute_dims(x, (0, 2, 1, 3)), gelu=lambda x: F.gelu(x, approximate=True),
        cross_entropy=F.cross_entropy,
    )  # fmt: skip


def of_pytorch() -> Any:
    import torch

    F = torch.nn.functional
    return SimpleNamespace(
        tanh=torch.tanh, zeros=torch.zeros, linear=lambda x, w, b: F.linear(x, w.T, b),
        layer_norm=lambda x, scale, shift: F.layer_norm(x, scale.shape, scale, shift, EPSILON),
        attention=lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
        by_head=lambda x: x.transpose(1, 2), gelu=lambda x: F.gelu(x, approximate="tanh"),
        cross_entropy=F.cross_entropy,
    )  # fmt: skip


def of_jax() -> Any:
    import jax
    import jax.numpy as jnp

    def attention(q: Any, k: Any, v: Any) -> Any:
        each = lambda x: x.swapaxes(1, 2)  # it takes (rows, length, heads, width)
        return each(jax.nn.dot_product_attention(each(q), each(k), each(v), is_causal=True))

    def layer_norm(x: Any, scale: Any, shift: Any) -> Any:
        d = x - x.mean(-1, keepdims=True)
        return d * jax.lax.rsqrt((d * d).mean(-1, keepdims=True) + EPSILON) * scale + shift

    def cross_entropy(z: Any, y: Any) -> Any:
        return (jax.nn.logsumexp(z, axis=1) - jnp.take_along_axis(z, y[:, None], axis=1)[:, 0]).mean()

    return SimpleNamespace(
        tanh=jnp.tanh, zeros=jnp.zeros, linear=lambda x, w, b: x @ w + b, layer_norm=layer_norm,
        attention=attention, by_head=lambda x: x.swapaxes(1, 2), gelu=jax.nn.gelu, cross_entropy=cross_entropy,
        scan=jax.lax.scan,
    )  # fmt: skip
