"""The same training as a loop written by hand, as for PyTorch: forward, backward, step."""

from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import tapegrad as tg
from tapegrad import nn, optim
from tapegrad.data import Batches
from tapegrad.nn import functional as F

device = "cpu"  # "cuda:0" moves everything below to a GPU
tg.manual_seed(42)

X, y = load_breast_cancer(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=42)
scaler = StandardScaler().fit(X_train)
x_train = tg.tensor(scaler.transform(X_train), dtype=tg.float32, device=device)
x_test = tg.tensor(scaler.transform(X_test), dtype=tg.float32, device=device)
t_train = tg.tensor(y_train[:, None], dtype=tg.float32, device=device)
t_test = tg.tensor(y_test[:, None], dtype=tg.float32, device=device)

model = nn.Sequential(
    nn.Dense(64, "relu", in_features=30),
    nn.Dense(32, "relu"),
    nn.Dense(1),  # the logit; the loss below contains the sigmoid
).to(device)
optimizer = optim.Adam(model.parameters())

for epoch in range(10):
    total = 0.0
    for x, t in Batches(x_train, t_train, batch_size=32):
        loss = F.binary_cross_entropy_with_logits(model(x), t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(x)
    print(f"epoch {epoch + 1:2}  loss {total / len(x_train):.4f}")

model.eval()
with tg.no_grad():
    right = (model(x_test) > 0) == (t_test > 0.5)
print(f"test accuracy {right.astype(tg.float32).mean().item():.4f}")
