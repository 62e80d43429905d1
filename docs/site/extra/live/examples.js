"use strict";
// The programs of the list. The first one is shown when the page opens.
const EXAMPLES = {
  "A training loop": `import tapegrad as tg

tg.manual_seed(0)
x = tg.tensor([[i / 50 - 1.0] for i in range(100)])
y = tg.sin(3 * x)

model = tg.nn.Sequential(tg.nn.Dense(32, activation="tanh", in_features=1), tg.nn.Dense(1))
optimizer = tg.optim.Adam(model.parameters(), lr=0.01)

for step in range(500):
    loss = tg.nn.functional.mse_loss(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(f"loss after {step + 1} steps: {loss.item():.7f}")
`,
  "A tape": `import tapegrad as tg

x = tg.tensor([0.5, 2.0], requires_grad=True)
with tg.keep_lines():
    y = x * tg.sin(x)
    loss = (y**2).sum()
tg.tape(loss, {"x": x})  # choose x in it, and change its numbers
`,
  "A compiled step": `import time

import tapegrad as tg

tg.manual_seed(0)
x, y = tg.rand(32, 8), tg.rand(32, 1)
model = tg.nn.Sequential(tg.nn.Dense(16, "relu", in_features=8), tg.nn.Dense(1))
optimizer = tg.optim.SGD(model.parameters(), lr=0.05)


@tg.jit
def train_step(x, y):
    loss = tg.nn.functional.mse_loss(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


for _ in range(3):
    train_step(x, y)
start = time.perf_counter()
for _ in range(1000):
    loss = train_step(x, y)
print(f"{time.perf_counter() - start:.3f} ms a step, loss {loss.item():.5f}")
print(train_step.source())
`,
  "A picture": `import matplotlib.pyplot as plt
import numpy as np

import tapegrad as tg

x = np.linspace(-4, 4, 200)
for name in ("relu", "silu", "softplus", "tanh"):
    f = getattr(tg.nn.functional, name)
    slope = tg.grad(lambda t: f(t).sum())
    plt.plot(x, slope(tg.tensor(x)).numpy(), label=name)
plt.legend()
plt.title("slopes of activation functions")
`,
};
