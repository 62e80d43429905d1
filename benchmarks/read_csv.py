"""Reading a CSV file of 1,000,000 rows and 20 columns, numbers, categories and dates, and turning it into the numbers
that a model learns from, beside pandas' own `read_csv` of the same file: CPU time of the work alone, one core.
"""

import json
import sys
import time

from benchmarks.harness import Case, Contestant, Promise

ROWS = 1_000_000


def write(path: str) -> None:
    import numpy as np
    import pandas as pd

    generator = np.random.default_rng(0)
    columns = {f"x{i}": generator.normal(size=ROWS).round(4) for i in range(14)}
    columns |= {f"k{i}": generator.integers(0, 1000, ROWS) for i in range(3)}
    columns["city"] = np.array(["Oslo", "Rome", "Lima", "Paris"])[generator.integers(0, 4, ROWS)]
    days = pd.date_range("2024-01-01", periods=366).strftime("%Y-%m-%d").to_numpy()
    columns["day"] = days[generator.integers(0, 366, ROWS)]
    columns["y"] = np.array(["no", "yes"])[generator.integers(0, 2, ROWS)]
    pd.DataFrame(columns).to_csv(path, index=False)


def ours(path: str) -> dict[str, float]:
    import numpy as np
    import pandas  # noqa: F401 -- is imported before the clock starts, as for pandas alone

    from tapegrad.data.features import FeatureEncoder
    from tapegrad.data.reading import read_csv
    from tapegrad.data.target import TargetEncoder

    start = time.process_time()
    table = read_csv(path, as_text=["y"])
    read = time.process_time() - start
    target, rows = TargetEncoder(), np.arange(ROWS * 4 // 5)
    target.read(table.columns["y"], None)
    target.fit(table.columns["y"], rows)
    names = [name for name in table.columns if name != "y"]
    x = FeatureEncoder().fit(table, names, rows, table.columns["y"]).transform(table)
    seconds = time.process_time() - start
    assert len(x) == ROWS and x.shape[1] > 20
    return {"s": seconds, "read": read}


def theirs(path: str) -> dict[str, float]:
    import pandas as pd

    start = time.process_time()
    pd.read_csv(path)
    seconds = time.process_time() - start
    return {"s": seconds, "read": seconds}


CASES = (
    Case(
        title="A CSV file of 1,000,000 x 20, one core",
        contestants=(
            Contestant("tapegrad", ("-m", "benchmarks.read_csv", "ours", "{out}"), "pandas"),
            Contestant("pandas.read_csv", ("-m", "benchmarks.read_csv", "theirs", "{out}"), "pandas"),
        ),
        columns={"s": "CPU s", "read": "of which reading, s"},
        promises=(Promise("s", "tapegrad", "pandas.read_csv", 3.0),),
        cores=1,
        rounds=3,
    ),
)

if __name__ == "__main__":
    _, who, folder = sys.argv
    write(f"{folder}/data.csv")
    print(json.dumps((ours if who == "ours" else theirs)(f"{folder}/data.csv")))
