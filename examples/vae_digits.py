"""A variational autoencoder (Kingma & Welling 2013) on scikit-learn's 1797 digits, each step of training compiled.

    python examples/vae_digits.py [epochs] [picture]

The step draws new noise at each call, compiled or not. Ends with a picture: digits that were not trained on, what is
left of them after the eight numbers between encoder and decoder, and new ones.
"""

import sys

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import tapegrad as tg
from tapegrad import nn, optim
from tapegrad.data import Batches

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 100
picture = sys.argv[2] if len(sys.argv) > 2 else "vae_digits.png"
LATENT = 8
tg.manual_seed(0)

X = load_digits().data.astype("float32") / 16.0
x_train, x_test = map(tg.tensor, train_test_split(X, test_size=0.2, random_state=0))

encoder = nn.Sequential(nn.Dense(128, "relu", in_features=64), nn.Dense(2 * LATENT))
decoder = nn.Sequential(nn.Dense(128, "relu", in_features=LATENT), nn.Dense(64))
encoder.build((64,))
decoder.build((LATENT,))
of_pixels = nn.BCEWithLogitsLoss(reduction="sum")
optimizer = optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=0.002)


def loss_of(x):
    """-ELBO, per image: the cross-entropy of the pixels, and the divergence of z from a standard normal."""
    mean, log_variance = tg.split(encoder(x), 2, axis=1)
    z = mean + tg.exp(0.5 * log_variance) * tg.random.normal(size=mean.shape)
    pixels = of_pixels(decoder(z), x)
    divergence = -0.5 * (1.0 + log_variance - mean**2 - tg.exp(log_variance)).sum()
    return (pixels + divergence) / x.shape[0]


@tg.jit
def train_step(x):
    loss = loss_of(x)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


with tg.no_grad():
    before = loss_of(x_test).item()
for epoch in range(1, epochs + 1):
    losses = [train_step(x) for x, _ in Batches(x_train, x_train, batch_size=64)]
    if epoch % 20 == 0 or epoch == epochs:
        print(f"epoch {epoch:3}  loss {sum(loss.item() for loss in losses) / len(losses):.2f}")

with tg.no_grad():
    after = loss_of(x_test).item()
    shown = x_test[:12]
    again = tg.sigmoid(decoder(encoder(shown)[:, :LATENT]))
    new = tg.sigmoid(decoder(tg.random.normal(size=(12, LATENT))))

try:
    import matplotlib.pyplot as plt
except ImportError:
    print('for the picture: pip install "matplotlib>=3.9"')
else:
    rows = [np.hstack(part.numpy().reshape(-1, 8, 8)) for part in (shown, again, new)]
    figure, axes = plt.subplots(3, 1, figsize=(9, 3), layout="constrained")
    for ax, row, title in zip(axes, rows, ("given", "decoded", "new"), strict=True):
        ax.imshow(row, cmap="gray")
        ax.set(xticks=[], yticks=[], ylabel=title)
    figure.savefig(picture, dpi=120)
    print(f"picture: {picture}")
print(f"test loss before {before:.2f}, after {after:.2f}")
