"""A convolutional network, an LSTM, a transformer's encoder layer and a GPT, each of the library's own layers.

The arrays start from the same law in each library, not from the same numbers: what is timed is a step.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.deep import EPSILON, Gpt

Parts = tuple[Any, Callable[..., Any]]


def drawn(rng: Any, *shape: int) -> np.ndarray:
    return (rng.standard_normal(shape) * 0.1).astype(np.float32)


@dataclass(frozen=True)
class Convolutional:
    """28 x 28 pixels, convolutions of 32 and 64 filters of 3 x 3, a pooling after each, 10 classes, Adam."""

    rows: int = 64
    lr: float = 1e-3
    optimizer: str = "adam"

    def batch(self) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(0)
        labels = rng.integers(0, 10, self.rows)
        x = rng.standard_normal((self.rows, 28, 28, 1), dtype=np.float32)
        return x + labels[:, None, None, None].astype(np.float32) / 10, labels

    def tapegrad(self, device: str) -> Parts:
        import tapegrad as tg

        nn = tg.nn
        model = nn.Sequential(
            nn.Conv2D(32, 3, activation="relu", in_features=1), nn.MaxPooling2D(2), nn.Conv2D(64, 3, activation="relu"),
            nn.MaxPooling2D(2), nn.Flatten(), nn.Dense(10),
        )  # fmt: skip
        model.build((28, 28, 1))
        model.to(device)
        return model.parameters(), lambda x, y: nn.functional.cross_entropy(model(x), y)

    def pytorch(self, device: str) -> Parts:
        import torch

        nn = torch.nn
        model = nn.Sequential(
            nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(1600, 10),
        ).to(device)  # fmt: skip
        return model.parameters(), lambda x, y: nn.functional.cross_entropy(model(x.permute(0, 3, 1, 2)), y)

    def jax(self) -> Parts:
        import jax
        import jax.numpy as jnp

        rng = np.random.default_rng(1)
        shapes = {
            "a": (3, 3, 1, 32),
            "b": (3, 3, 32, 64),
            "c": (1600, 10),
            "d": (32,),
            "e": (64,),
            "f": (10,),
        }
        p = {name: jnp.asarray(drawn(rng, *shape)) for name, shape in shapes.items()}

        def part(x: Any, w: Any, b: Any) -> Any:
            x = jax.lax.conv_general_dilated(
                x, w, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            x = jax.nn.relu(x + b)
            return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")

        def loss_of(p: Any, x: Any, y: Any) -> Any:
            h = part(part(x, p["a"], p["d"]), p["b"], p["e"])
            z = h.reshape(self.rows, -1) @ p["c"] + p["f"]
            return jnp.mean(jax.nn.logsumexp(z, axis=1) - jnp.take_along_axis(z, y[:, None], axis=1)[:, 0])

        return p, loss_of


@dataclass(frozen=True)
class LongShortTerm:
    """An LSTM of 128 units over 50 steps of 32 features, and a layer of one output; the squared error, Adam."""

    rows: int = 32
    steps: int = 50
    features: int = 32
    units: int = 128
    lr: float = 1e-3
    optimizer: str = "adam"

    def batch(self) -> tuple[np.ndarray, np.ndarray]:
        x = np.random.default_rng(0).standard_normal((self.rows, self.steps, self.features), dtype=np.float32)
        return x, x[:, -1, :1] + 1.0

    def tapegrad(self, device: str) -> Parts:
        import tapegrad as tg

        nn = tg.nn
        model = nn.Sequential(nn.LSTM(self.units, in_features=self.features), nn.Dense(1))
        model.build((self.steps, self.features))
        model.to(device)
        return model.parameters(), lambda x, y: ((model(x) - y) ** 2).mean()

    def pytorch(self, device: str) -> Parts:
        import torch

        lstm = torch.nn.LSTM(self.features, self.units, batch_first=True).to(device)
        head = torch.nn.Linear(self.units, 1).to(device)
        parameters = [*lstm.parameters(), *head.parameters()]
        return parameters, lambda x, y: ((head(lstm(x)[0][:, -1]) - y) ** 2).mean()

    def jax(self) -> Parts:
        import jax
        import jax.numpy as jnp

        rng, n = np.random.default_rng(1), self.units
        shapes = {"w": (self.features, 4 * n), "u": (n, 4 * n), "b": (4 * n,), "v": (n, 1), "c": (1,)}
        p = {name: jnp.asarray(drawn(rng, *shape)) for name, shape in shapes.items()}

        def loss_of(p: Any, x: Any, y: Any) -> Any:
            def cell(state: Any, into: Any) -> Any:
                h, c = state
                i, f, g, o = jnp.split(into + h @ p["u"], 4, axis=1)
                c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
                return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

            start = (jnp.zeros((self.rows, n)), jnp.zeros((self.rows, n)))
            (h, _), _ = jax.lax.scan(cell, start, (x @ p["w"] + p["b"]).swapaxes(0, 1))
            return ((h @ p["v"] + p["c"] - y) ** 2).mean()

        return p, loss_of


@dataclass(frozen=True)
class GptOfLayers(Gpt):
    """The GPT of deep.py, of tapegrad's layers; PyTorch and JAX have their fused functions there as well."""

    def tapegrad(self, device: str) -> Parts:
        import tapegrad as tg

        nn, F, width = tg.nn, tg.nn.functional, self.width
        block = lambda: nn.ModuleDict({
            "first": nn.LayerNorm(width), "second": nn.LayerNorm(width),
            "attention": nn.MultiHeadAttention(self.heads, width // self.heads, in_features=width),
            "up": nn.Dense(self.hidden, lambda x: F.gelu(x, approximate=True), in_features=width),
            "down": nn.Dense(width, in_features=self.hidden),
        })  # fmt: skip
        blocks = nn.ModuleList(block() for _ in range(self.layers))
        ends = nn.ModuleDict({
            "letters": nn.Embedding(self.letters, width), "norm": nn.LayerNorm(width),
            "places": nn.PositionEmbedding(self.length, "random_uniform", in_features=width),
            "head": nn.Dense(self.letters, in_features=width),
        })  # fmt: skip

        def loss(x: Any, y: Any) -> Any:
            h = ends["letters"](x)
            h = h + ends["places"](h)
            for b in blocks:
                h = h + b["attention"](b["first"](h), use_causal_mask=True)
                h = h + b["down"](b["up"](b["second"](h)))
            return F.cross_entropy(ends["head"](ends["norm"](h)).reshape(-1, self.letters), y)

        loss(*map(tg.tensor, self.batch()))  # the norms learn their width
        both = nn.ModuleList([ends, blocks])
        both.to(device)
        return both.parameters(), loss


@dataclass(frozen=True)
class Encoder:
    """A transformer's encoder layer of width 128, 4 heads and 512 hidden units on 16 rows of 64 places, Adam."""

    rows: int = 16
    length: int = 64
    width: int = 128
    heads: int = 4
    lr: float = 1e-3
    optimizer: str = "adam"

    def batch(self) -> tuple[np.ndarray, np.ndarray]:
        x = np.random.default_rng(0).standard_normal((self.rows, self.length, self.width), dtype=np.float32)
        return x, np.tanh(x[:, ::-1]).copy()

    def tapegrad(self, device: str) -> Parts:
        import tapegrad as tg

        layer = tg.nn.TransformerEncoderLayer(self.width, self.heads, 4 * self.width, 0.0, batch_first=True)
        layer.to(device)
        return layer.parameters(), lambda x, y: ((layer(x) - y) ** 2).mean()

    def pytorch(self, device: str) -> Parts:
        import torch

        layer = torch.nn.TransformerEncoderLayer(
            self.width, self.heads, 4 * self.width, 0.0, batch_first=True
        )
        layer.to(device)
        return layer.parameters(), lambda x, y: ((layer(x) - y) ** 2).mean()

    def jax(self) -> Parts:
        import jax
        import jax.numpy as jnp

        rng, d = np.random.default_rng(1), self.width
        shapes = {"qkv": (d, 3 * d), "out": (d, d), "up": (d, 4 * d), "down": (4 * d, d)}
        p: Any = {name: jnp.asarray(drawn(rng, *shape)) for name, shape in shapes.items()}
        p |= {f"{name}_bias": jnp.zeros(shape[1]) for name, shape in shapes.items()}
        p |= {"s1": jnp.ones(d), "t1": jnp.zeros(d), "s2": jnp.ones(d), "t2": jnp.zeros(d)}

        def norm(x: Any, scale: Any, shift: Any) -> Any:
            apart = x - x.mean(-1, keepdims=True)
            return apart * jax.lax.rsqrt((apart * apart).mean(-1, keepdims=True) + EPSILON) * scale + shift

        def loss_of(p: Any, x: Any, y: Any) -> Any:
            linear = lambda name, x: x @ p[name] + p[f"{name}_bias"]
            parts = linear("qkv", x).reshape(self.rows, self.length, 3, self.heads, -1)
            mixed = jax.nn.dot_product_attention(*(parts[:, :, i] for i in range(3)))
            h = norm(x + linear("out", mixed.reshape(x.shape)), p["s1"], p["t1"])
            h = norm(h + linear("down", jax.nn.relu(linear("up", h))), p["s2"], p["t2"])
            return ((h - y) ** 2).mean()

        return p, loss_of
