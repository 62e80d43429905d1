"""Ordinary user code, for the type checkers: mypy --strict and pyright accept it, and infer what is written here."""

from typing import assert_type

import numpy as np

import tapegrad as tg
from tapegrad import Tensor, nn, optim
from tapegrad.models import MLPClassifier, Sequential
from tapegrad.nn import functional as F

# ---- tensors ----
t = tg.tensor([1.0, 2.0])
assert_type(t, Tensor)
a = tg.asarray(np.ones((2, 3)), dtype=tg.float32)
zeros = tg.zeros((2, 3), dtype="float64")
assert_type(tg.zeros_like(a), Tensor)
assert_type(t + 1, Tensor)
assert_type(1 - t, Tensor)
assert_type(t * t, Tensor)
assert_type(2**t, Tensor)
assert_type(a @ a.T, Tensor)
assert_type(-t, Tensor)
assert_type(t == 1, Tensor)
assert_type(t[0], Tensor)
assert_type(a[:, 1:], Tensor)
assert_type(a[t > 0], Tensor)
assert_type(tg.sum(t), Tensor)
assert_type(tg.sin(t), Tensor)
assert_type(tg.exp(t).mean(), Tensor)
assert_type(t.relu(), Tensor)
assert_type(t.sin(), Tensor)
assert_type(t.softmax(), Tensor)
assert_type(t.all(), Tensor)
assert_type(t.matmul(t), Tensor)
assert_type(t.sum(axis=0, dtype=tg.float64), Tensor)
assert_type(a.reshape(3, 2), Tensor)
assert_type(a.reshape((3, 2)), Tensor)
assert_type(a.sum(axis=(0, 1), keepdims=True), Tensor)
assert_type(tg.concat([a, a], axis=1), Tensor)
assert_type(tg.where(t > 0, t, 0.0), Tensor)
assert_type(t.astype(tg.int64), Tensor)
assert_type(t.detach(), Tensor)
assert_type(t.shape, tuple[int, ...])
assert_type(t.ndim, int)
assert_type(t.size, int)
assert_type(t.requires_grad, bool)
parts = t.split(2)
assert_type(parts, tuple[Tensor, ...])
assert_type(tg.top_k(t, 1), tuple[Tensor, Tensor])
assert_type(tg.meshgrid(t, t), tuple[Tensor, ...])
array: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]" = t.numpy()
number: float = float(t.sum())
item = t.sum().item()
t += 1.0
t[0] = 1.0
a[0, 1] = a[1, 0]
a[a > 0] = 0.0
for row in a:
    print(row.shape, len(a))

# ---- gradients ----
w = tg.ones((2,)).requires_grad_()
loss = (w * t).sum()
loss.backward()
if w.grad is not None:
    assert_type(w.grad, Tensor)
with tg.no_grad():
    w -= 0.1 * w


def energy(x: Tensor) -> Tensor:
    return (x**2).sum()


g = tg.grad(energy)(t)
value, gradient = tg.value_and_grad(energy)(t)
y, pullback = tg.vjp(energy, t)
tg.check_grads(energy, (t,))


# ---- layers ----
class Block(nn.Module):
    def __init__(self, size: int) -> None:
        self.dense = nn.Dense(size, activation="relu", in_features=size)
        self.scale = tg.Parameter(tg.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * self.dense(x)


block = Block(4)
with tg.no_grad():
    block.scale -= 0.1 * tg.ones(4)
    assert_type(block.scale, tg.Parameter)
model = nn.Sequential(Block(4), nn.Dropout(0.1), nn.Dense(1, in_features=4))
out = model(tg.ones((2, 4)))
assert_type(F.mse_loss(out, tg.zeros((2, 1))), Tensor)
assert_type(F.relu(t), Tensor)
assert_type(out, Tensor)
image, window = tg.ones((1, 8, 8, 3)), tg.ones((3, 3, 3, 4))
assert_type(F.conv(image, window, strides=(1, 2), padding="same"), Tensor)
assert_type(F.conv(image, window, padding=((1, 1), 0), dilation_rate=[1, 2]), Tensor)
assert_type(F.max_pool(image, 2), Tensor)
assert_type(F.scaled_dot_product_attention(image, image, image, is_causal=True), Tensor)
h, states = nn.LSTMCell(4, activation="tanh", kernel_regularizer=nn.L2(0.01))(tg.ones((2, 3)))
encoded = nn.LSTM(4, return_sequences=True, bias_initializer="ones", dtype="float64")(tg.ones((2, 5, 3)))
attention = nn.MultiHeadAttention(2, 4, kernel_initializer=nn.init.he_normal)
attended = attention(encoded, use_causal_mask=True)
for p in model.parameters():
    print(p.shape)

# ---- training ----
optimizer = optim.Adam(model.parameters(), lr=1e-3)
optimizer.lr = 0.01


@tg.jit
def step(x: Tensor, y: Tensor) -> Tensor:
    """One step."""
    loss = F.mse_loss(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


assert_type(step(tg.ones((2, 4)), tg.zeros((2, 1))), Tensor)
print(step.source(), step.explain(), step.stats())
strict = tg.jit(energy, strict=True)
assert_type(strict(t), Tensor)


@tg.jit(emitter="numpy")
def predict(x: Tensor) -> Tensor:
    return x * 2.0


assert_type(predict(t), Tensor)
keras = Sequential([nn.Dense(1, in_features=4)])
keras.compile(optimizer="adam", loss="mse", metrics=["mae"])
history = keras.fit(np.ones((8, 4)), np.ones(8), epochs=1, verbose=0)
classifier = MLPClassifier((8,), epochs=2)
tg.manual_seed(0)
tg.save("weights.safetensors", {"w": w})
