"""Write docs/coming_from.md: what the names of PyTorch, JAX, NumPy and Keras are called here.
Run: python docs/make_coming_from.py"""

from pathlib import Path

from tapegrad.autograd import foreign

ROOT = Path(__file__).resolve().parent.parent
HEAD = """# Coming from PyTorch, JAX, NumPy or Keras

Made from the tables in `autograd/foreign/` by `python docs/make_coming_from.py`; a test keeps it up to date. Ask for
one of these names, and the error says the same: `tg.cat` raises "tapegrad's name for torch.cat is
tg.concat(arrays, axis=0)".

## Same name, other meaning

These names are there and mean something else than in PyTorch; nothing is said where one runs:

- `t.max(axis=0)` and `t.sort()` give values alone: `t.argmax(axis=0)` and `t.argsort()` have the places. Of exactly
  two rows, `v, p = t.max(1)` and `v, p = t.sort()` take the rows apart, and nothing raises;
- `tg.split(x, n)` makes n equal parts, as NumPy's; PyTorch's n is the length of a part: `tg.split(x, len(x) // n)`;
- `t.std()` and `t.var()` divide by n, as NumPy's: `t.std(correction=1)` is PyTorch's;
- `tg.jit(model)` is not `torch.compile(model)`: a result that is differentiated outside of it cannot come from a
  program, and such calls run as Python, with one warning. Compile the whole step, `step = tg.jit(train_step)`, with
  `loss.backward()` and `opt.step()` inside;
- `F.cosine_similarity` is Keras's loss, -1 where the two agree: PyTorch's is `-F.cosine_similarity(a, b,
  reduction="none")`, of the last axis; `F.cross_entropy` and `F.nll_loss` have the classes in the last axis, and
  `nn.CrossEntropyLoss()` and `nn.NLLLoss()` in axis 1, as PyTorch;
- `t.transpose(0, 1)` of a matrix is the order of axes, as NumPy's, which changes nothing: write `t.T`, or
  `t.transpose(-2, -1)`; of more axes it exchanges the two;
- `F.leaky_relu(x)` has the slope 0.2 and `nn.LeakyReLU()` 0.3, as in Keras; PyTorch's is 0.01: `F.leaky_relu(x, 0.01)`;
- `F.linear(x, w, b)` is `x @ w + b`, w having the shape (in, out): PyTorch's is `F.linear(x, w.T, b)`;
- `tg.take(x, i)` takes rows, along axis 0; NumPy's and PyTorch's take of the flattened x: `tg.take(tg.flatten(x), i)`;
- `tg.meshgrid(a, b)` is NumPy's, `indexing="xy"`: PyTorch's is `tg.meshgrid(a, b, indexing="ij")`;
- `F.softmax(x)` and `F.log_softmax(x)` are along the last axis; PyTorch's without dim are along axis 0 of one or three;
- `tg.equal(a, b)` compares elements, as `a == b`: PyTorch's is `tg.all(a == b)`;
- `tg.tensor(t)` of a tensor is recorded, and `torch.tensor(t)` is not: `tg.tensor(t.detach())`.

## What works as it is

Functions carry the names of the Python array API standard: `tg.concat`, `tg.permute_dims`, `tg.acos`. Some habits work
as they are:

- `tg.randn(2, 3)`, `tg.rand`, `tg.randint`, `tg.randperm`, and `tg.random` with the names and the order of NumPy's
  Generator;
- `nn.Linear(in, out)`, `nn.MSELoss()`, `nn.L1Loss()`, `nn.BCEWithLogitsLoss()`, `nn.CrossEntropyLoss()` with PyTorch's
  order, prediction first, and its defaults; `nn.losses.MeanSquaredError()` and its like with Keras's, target first;
- `tg.scan(f, init, xs, length, reverse)`, with the meaning of `jax.lax.scan`;
- `t.transpose(-2, -1)`, `t.argsort()`, `t.T`, `t[None]`, `t += v` under `tg.no_grad()`;
- `np.exp(t)` and NumPy's other ufuncs, `np.sum(t)`, `np.mean(t)`, `np.max(t)` and their like, which are recorded;
  NumPy's other functions read the values of tensors that require no grad;
- `np.from_dlpack(t)`, `torch.from_dlpack(t)`, `tg.from_dlpack(array)`.

In the tables np is NumPy, jnp is jax.numpy, F is `torch.nn.functional` on the left and `tg.nn.functional` on the right,
t is a tensor and m a module.
"""
TITLES = {
    "tg": "Functions: `tg`",
    "tensor": "Attributes of a tensor",
    "nn": "Layers and losses: `tg.nn`",
    "functional": "`tg.nn.functional`",
    "losses": "`tg.nn.losses`",
    "init": "`tg.nn.init`",
    "module": "Attributes of a module",
    "random": "`tg.random`",
    "tree": "`tg.tree`",
    "autograd": "`tg.autograd`",
    "keywords": "Keywords",
}


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def page() -> str:
    parts = [HEAD]
    for room, title in TITLES.items():
        head = "their keyword | here" if room == "keywords" else "their name | here"
        parts.append(f"\n## {title}\n\n| {head} | |\n|---|---|---|\n")
        for theirs, ours, remark in foreign.rows(room):
            names = ", ".join(f"`{name}`" for name in theirs)
            parts.append(f"| {names} | {f'`{cell(ours)}`' if ours else 'none'} | {cell(remark)} |\n")
    return "".join(parts)


if __name__ == "__main__":
    (ROOT / "docs" / "coming_from.md").write_text(page())
