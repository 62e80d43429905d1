"""`Sequential.fit` of the article's MLP (64-32-1, Adam, 10 epochs, batch 32, 20 % validation, accuracy) on the breast
cancer data, split 80/20 with seed 42 and standardized, against the same in Keras. It is the time of the one call, with
the recording or tracing of the step; without Python's start, the imports and the data. It prints nothing on its way.
"""

import json
import sys
import time
from typing import Any

from benchmarks.harness import Case, Contestant, Promise

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


def measure(library: str) -> dict[str, float]:
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    x, _, y, _ = train_test_split(*load_breast_cancer(return_X_y=True), test_size=0.2, random_state=42)
    x = StandardScaler().fit_transform(x)
    network = model(library)
    start = time.perf_counter()
    history = network.fit(x, y, epochs=10, batch_size=32, validation_split=0.2, verbose=0)
    seconds = time.perf_counter() - start
    accuracy = history.history["val_accuracy"][-1]
    if accuracy < 0.9:
        raise SystemExit(f"{library} ends with an accuracy of {accuracy}: it does not learn")
    return {"fit": seconds}


def case(title: str, cores: int | None) -> Case:
    return Case(
        title=title,
        contestants=tuple(
            Contestant(name, ("-m", "benchmarks.fit_article", name), needs=package)
            for name, package in (
                *((name, "llvmlite" if "native" in name else "tapegrad") for name in OPTIONS),
                ("Keras", "keras"),
            )
        ),
        columns={"fit": "fit, s", "wall": "whole process, s", "peak": "peak MB"},
        promises=(
            Promise("fit", "tapegrad", "Keras", 0.1),
            Promise("fit", "tapegrad", "tapegrad, eager", None),
        ),
        cores=cores,
        rounds=3,
        warm=cores is None,
    )


CASES = (case("One core", 1), case("All cores", None))

if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
