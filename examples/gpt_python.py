"""A GPT of four layers that learns to write Python from the sources of the standard library, character by character.

    python examples/gpt_python.py [STEPS [LETTERS OF A SAMPLE]]

Each step is compiled; `train_step.source()` is the program that runs.
"""

import sys
import sysconfig
from pathlib import Path

import numpy as np

import tapegrad as tg
from tapegrad import nn, optim
from tapegrad.nn import functional as F

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 600
SAMPLE = int(sys.argv[2]) if len(sys.argv) > 2 else 200
WIDTH, HEADS, LAYERS, LENGTH, ROWS = 128, 4, 4, 64, 16
device = "cpu"  # "cuda:0" moves everything below to a GPU
tg.manual_seed(0)

LETTERS = "\n" + "".join(map(chr, range(32, 127)))
files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
text = "".join(path.read_text(encoding="utf-8", errors="ignore") for path in files)
codes = np.array([LETTERS.index(c) for c in text[:2_000_000] if c in LETTERS])


class Block(nn.Module):
    def __init__(self):
        self.first, self.second = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = nn.MultiHeadAttention(HEADS, WIDTH // HEADS, in_features=WIDTH)
        self.up = nn.Dense(4 * WIDTH, "gelu", in_features=WIDTH)
        self.down = nn.Dense(WIDTH, in_features=4 * WIDTH)

    def forward(self, x):
        x = x + self.attention(self.first(x), use_causal_mask=True)
        return x + self.down(self.up(self.second(x)))


class Gpt(nn.Module):
    def __init__(self):
        self.letters = nn.Embedding(len(LETTERS), WIDTH)
        self.places = nn.PositionEmbedding(LENGTH, "random_uniform", in_features=WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Dense(len(LETTERS), in_features=WIDTH)

    def forward(self, x):
        h = self.letters(x)
        h = h + self.places(h)
        for block in self.blocks:
            h = block(h)
        return self.head(self.norm(h))


model = Gpt().to(device)
optimizer = optim.Adam(model.parameters(), lr=optim.schedules.Cosine(0.002, STEPS))


@tg.jit
def train_step(x, y):
    logits = model(x)
    loss = F.cross_entropy(logits.reshape(ROWS * LENGTH, len(LETTERS)), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def write(start, count, rng, temperature=0.7):
    """The text that the model writes after `start`."""
    written = [LETTERS.index(c) for c in start]
    with tg.no_grad():
        for _ in range(count):
            logits = model(tg.tensor([written[-LENGTH:]], device=device))[0, -1].numpy() / temperature
            odds = np.exp(logits - logits.max())
            written.append(int(rng.choice(len(LETTERS), p=odds / odds.sum())))
    return "".join(LETTERS[i] for i in written)


rng = np.random.default_rng(0)
for step in range(1, STEPS + 1):
    places = rng.integers(0, len(codes) - LENGTH - 1, ROWS)[:, None] + np.arange(LENGTH + 1)
    rows = codes[places]
    loss = train_step(tg.tensor(rows[:, :-1], device=device), tg.tensor(rows[:, 1:].ravel(), device=device))
    if step % 50 == 0 or step == STEPS:
        print(f"step {step:4}  loss {loss.item():.3f}")

for start in ("def ", "class ", "    for "):
    print("-" * 40)
    print(write(start, SAMPLE, rng))
