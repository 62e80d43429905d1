"""`Sequential.fit` of the article's MLP (64-32-1, Adam, 10 epochs, batch 32, 20 % validation, accuracy) on the breast
cancer data, split 80/20 with seed 42 and standardized, against the same in Keras. It is the time of the one call, with
the recording or tracing of the step, with an empty cache of machine code; without Python's start, the imports and the
data. It prints nothing on its way. And what `fit` adds to each call of the compiled step.
"""

import json
import statistics
import sys
import time
from typing import Any

from benchmarks import timing
from benchmarks.harness import Case, Contestant, Promise

BATCH, BATCHES, EPOCHS = 32, 11, 20  # whole batches only
OPTIONS: dict[str, dict[str, Any]] = {
    "tapegrad": {},
    "tapegrad, eager": {"run_eagerly": True},
    "tapegrad, native": {"emitter": "native"},
}


def model(library: str) -> Any:
    """The network, compiled with each library's defaults but for what the contestant's name says."""
    if library == "Keras":
        import keras

        keras.utils.set_random_seed(42)
        Dense, Sequential, start = keras.layers.Dense, keras.Sequential, [keras.Input((30,))]
    else:
        import tapegrad as tg
        from tapegrad.models import Sequential
        from tapegrad.nn import Dense

        tg.manual_seed(42)
        start = []
    network = Sequential()
    for part in (*start, Dense(64, activation="relu"), Dense(32, activation="relu")):
        network.add(part)
    network.add(Dense(1, activation="sigmoid"))
    network.compile(
        optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"], **OPTIONS.get(library, {})
    )
    return network


def breast_cancer() -> tuple[Any, Any]:
    """The rows to train on, standardized."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    x, _, y, _ = train_test_split(*load_breast_cancer(return_X_y=True), test_size=0.2, random_state=42)
    return StandardScaler().fit_transform(x), y


def measure(library: str) -> dict[str, float]:
    x, y = breast_cancer()
    network = model(library)
    start = time.perf_counter()
    history = network.fit(x, y, epochs=10, batch_size=32, validation_split=0.2, verbose=0)
    seconds = time.perf_counter() - start
    accuracy = history.history["val_accuracy"][-1]
    if accuracy < 0.9:
        raise SystemExit(f"{library} ends with an accuracy of {accuracy}: it does not learn")
    return {"fit": seconds}


def measure_outside(library: str) -> dict[str, float]:
    """µs of a batch in `fit`, and of the compiled step that it calls for it: blocks of both in turn, in CPU time."""
    import tapegrad as tg

    x, y = (part[: BATCHES * BATCH] for part in breast_cancer())
    network = model(library)
    fit = lambda epochs: network.fit(x, y, epochs=epochs, batch_size=BATCH, verbose=0)
    fit(2 * EPOCHS)
    step = network.steps().train
    batch = tg.tensor(x[:BATCH], dtype="float32"), tg.tensor(y[:BATCH, None], dtype="float32"), None
    steps = lambda epochs: timing.repeat(lambda: step(*batch))(epochs * BATCHES)
    compiled = step.stats()["programs"]
    steps(EPOCHS)
    if len(step.stats()["programs"]) > len(compiled):
        raise SystemExit(f"the batch is not of the kind that fit has: {step.stats()}")
    spent = timing.take_turns({"fit": fit, "step": steps}, 0.1, 15)
    in_fit, in_step = ([s / BATCHES * 1e6 for s in seconds] for seconds in spent.values())
    outside = statistics.median(a - b for a, b in zip(in_fit, in_step, strict=True))
    return {"outside": outside, "batch": statistics.median(in_fit), "step": statistics.median(in_step)}


def case(title: str, cores: int | None) -> Case:
    needed = {"tapegrad, native": "llvmlite", "Keras": "keras"}
    return Case(
        title=title,
        contestants=tuple(
            Contestant(
                name,
                ("-m", "benchmarks.fit_article", name),
                needs=needed.get(name, "tapegrad"),
                env={"TAPEGRAD_CACHE": "{out}"},
            )
            for name in (*OPTIONS, "Keras")
        ),
        columns={"fit": "fit, s", "wall": "whole process, s", "peak": "peak MB"},
        promises=(
            Promise("fit", "tapegrad", "Keras", 0.025),
            Promise("fit", "tapegrad, native", "Keras", None),
            Promise("fit", "tapegrad", "tapegrad, eager", None),
        ),
        cores=cores,
        rounds=5,
        warm=cores is None,
    )


OUTSIDE = Case(
    title="What fit adds to the compiled step, one core",
    contestants=tuple(
        Contestant(name, ("-m", "benchmarks.fit_article", name, "outside"), needs=needs)
        for name, needs in (("tapegrad", "tapegrad"), ("tapegrad, native", "llvmlite"))
    ),
    columns={
        "outside": "outside the step, µs per batch",
        "batch": "a batch in fit, µs",
        "step": "the step, µs",
    },
    promises=(
        Promise("outside", "tapegrad", "", 14.0),
        Promise("outside", "tapegrad, native", "", 14.0),
    ),
    cores=1,
    rounds=5,
)
CASES = (case("One core", 1), case("All cores", None), OUTSIDE)

if __name__ == "__main__":
    print(json.dumps((measure_outside if "outside" in sys.argv else measure)(sys.argv[1])))
