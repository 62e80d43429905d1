"""The whole job of `tapegrad train` with its default data, from starting Python to the last file written, against the
same job written for Keras (keras_article.py): load the breast cancer data, split 80/20 with seed 42, standardize, fit a
logistic regression, fit an MLP 64-32-1 with Adam (10 epochs, batch 32, 20 % validation, accuracy), print test loss and
accuracy, and write the model, the history as CSV and its curves as PNG. The figures are those of the whole process,
with an empty cache of machine code.
"""

from benchmarks.harness import Case, Contestant, Promise

OURS = Contestant(
    "tapegrad",
    ("-m", "tapegrad", "train", "--epochs", "10", "--out", "{out}"),
    figures=False,
    writes=("*.csv", "*.png", "*.safetensors"),
    env={"TAPEGRAD_CACHE": "{out}/cache"},
)
KERAS = Contestant(
    "Keras",
    ("-m", "benchmarks.keras_article", "{out}"),
    needs="keras",
    figures=False,
    writes=("*.csv", "*.png", "*.keras"),
)
CASES = (
    Case(
        title="The article's job, all cores",
        contestants=(OURS, KERAS),
        columns={"wall": "wall time, s", "peak": "peak memory, MB"},
        promises=(Promise("wall", "tapegrad", "Keras", 0.15), Promise("peak", "tapegrad", "Keras", 1 / 3)),
    ),
)
