"""An LSTM on the yearly numbers of sunspots since 1700, which statsmodels carries, each step of training compiled.

    python examples/lstm_sunspots.py [epochs] [picture]

From 22 years it tells the next one. Trained on the years to 1949, and looked at on those after, beside the guess that a
year is as the one before. Ends with a picture of both.
"""

import sys

import numpy as np

import tapegrad as tg
from tapegrad import nn, optim
from tapegrad.data import Batches, load
from tapegrad.nn import functional as F

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 150
picture = sys.argv[2] if len(sys.argv) > 2 else "lstm_sunspots.png"
YEARS = 22
tg.manual_seed(0)

numbers, _ = load("sunspots")
years = 1700 + np.arange(len(numbers))
scaled = np.sqrt(numbers).astype("float32") / 10  # the larger, the more they vary
windows = np.stack([scaled[i : i + YEARS] for i in range(len(scaled) - YEARS)])[:, :, None]
targets, of_year = scaled[YEARS:, None], years[YEARS:]
early = of_year < 1950
x_train, y_train = tg.tensor(windows[early]), tg.tensor(targets[early])

model = nn.Sequential(nn.LSTM(32, in_features=1), nn.Dense(1))
model.build((YEARS, 1))
optimizer = optim.Adam(model.parameters(), lr=optim.schedules.Cosine(0.01, epochs * 4), clipnorm=1.0)


@tg.jit
def train_step(x, y):
    loss = F.mse_loss(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


for epoch in range(1, epochs + 1):
    losses = [train_step(x, y) for x, y in Batches(x_train, y_train, batch_size=57)]
    if epoch % 25 == 0 or epoch == epochs:
        print(f"epoch {epoch:3}  loss {sum(loss.item() for loss in losses) / len(losses):.4f}")

with tg.no_grad():
    told = (10 * model(tg.tensor(windows[~early])).numpy().clip(0)).ravel() ** 2
late, true, before = of_year[~early], numbers[YEARS:][~early], numbers[YEARS - 1 : -1][~early]
rmse = lambda guess: float(np.sqrt(np.mean((guess - true) ** 2)))

try:
    import matplotlib.pyplot as plt
except ImportError:
    print('for the picture: pip install "matplotlib>=3.9"')
else:
    figure, ax = plt.subplots(figsize=(9, 3.5), layout="constrained")
    ax.plot(late, true, "k.-", label="sunspots")
    ax.plot(late, told, "C1", label="LSTM, from the 22 years before")
    ax.plot(late, before, "C0:", label="as the year before")
    ax.legend()
    figure.savefig(picture, dpi=120)
    print(f"picture: {picture}")
print(f"error of the year before {rmse(before):.1f}, of the LSTM {rmse(told):.1f}")
