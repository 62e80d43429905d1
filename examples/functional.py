"""The same network as a function of a dict of parameters, trained as in JAX: value_and_grad, and an update that makes
new parameters out of old ones."""

from itertools import pairwise

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import tapegrad as tg
from tapegrad.nn import functional as F

device = "cpu"  # "cuda:0" moves everything below to a GPU

X, y = load_breast_cancer(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=42)
scaler = StandardScaler().fit(X_train)
x_train = tg.tensor(scaler.transform(X_train), dtype=tg.float32, device=device)
x_test = tg.tensor(scaler.transform(X_test), dtype=tg.float32, device=device)
t_train = tg.tensor(y_train, dtype=tg.float32, device=device)
t_test = tg.tensor(y_test, dtype=tg.float32, device=device)


def initial(widths, generator):
    """A kernel and a bias for each layer, as one flat dict."""
    params = {}
    for i, (n, m) in enumerate(pairwise(widths)):
        params[f"kernel{i}"] = generator.normal(0.0, np.sqrt(2.0 / n), (n, m))
        params[f"bias{i}"] = np.zeros(m)
    return {name: tg.tensor(array, dtype=tg.float32, device=device) for name, array in params.items()}


def logits(params, x):
    x = F.relu(x @ params["kernel0"] + params["bias0"])
    x = F.relu(x @ params["kernel1"] + params["bias1"])
    return (x @ params["kernel2"] + params["bias2"])[:, 0]


def loss(params, x, t):
    return F.binary_cross_entropy_with_logits(logits(params, x), t)


params = initial((30, 64, 32, 1), np.random.default_rng(42))
step = tg.value_and_grad(loss)
for epoch in range(50):
    value, gradient = step(params, x_train, t_train)
    params = {name: params[name] - 0.2 * gradient[name] for name in params}
    if epoch % 10 == 9:
        print(f"step {epoch + 1:2}  loss {value.item():.4f}")

right = (logits(params, x_test) > 0) == (t_test > 0.5)
print(f"test accuracy {right.astype(tg.float32).mean().item():.4f}")
