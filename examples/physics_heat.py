"""A physics-informed network: the heat equation u_t = k u_xx, solved by training on it, with no data but the edges.

    python examples/physics_heat.py [steps] [picture]

The loss holds the first and second derivatives of the network for its inputs, and is itself differentiated for the
weights: one compiled step for all three orders. u(x, 0) = sin(pi x) and u(0, t) = u(1, t) = 0, of which
exp(-k pi**2 t) sin(pi x) is the solution. Ends with a picture: what was learnt, and how far it is from that.
"""

import sys

import numpy as np

import tapegrad as tg
from tapegrad import nn, optim

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
picture = sys.argv[2] if len(sys.argv) > 2 else "physics_heat.png"
K = 0.3
tg.manual_seed(0)
rng = np.random.default_rng(0)

model = nn.Sequential(
    nn.Dense(32, "tanh", in_features=2), nn.Dense(32, "tanh"), nn.Dense(32, "tanh"), nn.Dense(1)
)
model.build((2,))
optimizer = optim.Adam(model.parameters(), lr=optim.schedules.Cosine(0.005, steps))


def u(x, t):
    return model(tg.concat([x, t], axis=1))


def residual(x, t):
    """u_t - K u_xx: of each row of x the gradient of the sum is the derivative of that row."""
    u_t = tg.grad(lambda t: u(x, t).sum())(t)
    u_x = lambda x: tg.grad(lambda x: u(x, t).sum())(x)
    u_xx = tg.grad(lambda x: u_x(x).sum())(x)
    return u_t - K * u_xx


@tg.jit
def train_step(x, t, edge):
    started = u(x, tg.zeros_like(x)) - tg.sin(np.pi * x)
    sides = u(edge, t)
    loss = (residual(x, t) ** 2).mean() + 10 * (started**2).mean() + 10 * (sides**2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def drawn(n):
    return tg.tensor(rng.random((n, 1)), dtype="float32")


for step in range(1, steps + 1):
    loss = train_step(drawn(256), drawn(256), tg.tensor(rng.integers(0, 2, (256, 1)), dtype="float32"))
    if step % 500 == 0 or step == steps:
        print(f"step {step:5}  loss {loss.item():.2e}")

x, t = np.meshgrid(np.linspace(0, 1, 101), np.linspace(0, 1, 101))
with tg.no_grad():
    columns = (tg.tensor(a.reshape(-1, 1), dtype="float32") for a in (x, t))
    learnt = u(*columns).numpy().reshape(x.shape)
true = np.exp(-K * np.pi**2 * t) * np.sin(np.pi * x)
error = np.sqrt(np.sum((learnt - true) ** 2) / np.sum(true**2))

try:
    import matplotlib.pyplot as plt
except ImportError:
    print('for the picture: pip install "matplotlib>=3.9"')
else:
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    for ax, values, title in zip(
        axes, (learnt, learnt - true), ("u(x, t), learnt", "minus the solution"), strict=True
    ):
        figure.colorbar(ax.pcolormesh(x, t, values), ax=ax)
        ax.set(xlabel="x", ylabel="t", title=title)
    figure.savefig(picture, dpi=120)
    print(f"picture: {picture}")
print(f"relative error {error:.4f}")
