"""A convolutional network on scikit-learn's 1797 digits of 8 x 8 pixels, each step of training compiled."""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import tapegrad as tg
from tapegrad import nn, optim
from tapegrad.data import Batches
from tapegrad.nn import functional as F

device = "cpu"  # "cuda:0" moves everything below to a GPU
tg.manual_seed(0)

X, y = load_digits(return_X_y=True)
images = X.reshape(-1, 8, 8, 1) / 16.0  # (batch, height, width, channels)
x_train, x_test, y_train, y_test = train_test_split(images, y, test_size=0.2, stratify=y, random_state=0)
x_train, x_test = (tg.tensor(x, dtype=tg.float32, device=device) for x in (x_train, x_test))
t_train, t_test = (tg.tensor(t, device=device) for t in (y_train, y_test))

model = nn.Sequential(
    nn.Conv2D(32, 3, padding="same", activation="relu", in_features=1),
    nn.Conv2D(32, 3, padding="same", activation="relu"),
    nn.MaxPooling2D(2),
    nn.Dropout(0.2),
    nn.Conv2D(64, 3, padding="same", activation="relu"),
    nn.MaxPooling2D(2),
    nn.Flatten(),
    nn.Dropout(0.4),
    nn.Dense(10),
)
model.build((8, 8, 1))
model.to(device)
epochs, batch_size = 24, 64
steps = epochs * (len(x_train) // batch_size)
optimizer = optim.Adam(model.parameters(), lr=optim.schedules.Cosine(0.003, steps))


@tg.jit
def train_step(x, t):
    loss = F.cross_entropy(model(x), t)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


for epoch in range(epochs):
    losses = [train_step(x, t) for x, t in Batches(x_train, t_train, batch_size=batch_size)]
    print(f"epoch {epoch + 1:2}  loss {sum(loss.item() for loss in losses) / len(losses):.4f}")

model.eval()
with tg.no_grad():
    right = model(x_test).argmax(axis=1) == t_test
print(f"test accuracy {right.astype(tg.float32).mean().item():.4f}")
