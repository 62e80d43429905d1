"""Reading a CSV file, and turning its columns into numbers."""

import json

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from tapegrad.data import train_test_indices
from tapegrad.data.features import FeatureEncoder
from tapegrad.data.reading import read_csv
from tapegrad.data.table import FEATURES, TableError, breast_cancer
from tapegrad.data.target import TargetEncoder


def table(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "data.csv"
    path.write_bytes(text.encode(encoding))
    return read_csv(path)


def cells(t):
    return {name: column.cells for name, column in t.columns.items()}


# --- reading ---


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1,x\n2,y\n",
        "a,b\r\n1,x\r\n2,y",
        "\ufeffa,b\n1,x\n\n2,y\n\n",
        "a;b\n1;x\n2;y\n",
        "a\tb\n1\tx\n2\ty\n",
        "a|b\n1|x\n2|y\n",
        ' a , b \n 1, x\n2 ,"y"\n',
    ],
)
def test_the_usual_forms_of_csv_read_the_same(text, tmp_path):
    assert cells(table(tmp_path, text)) == {"a": ["1", "2"], "b": ["x", "y"]}


def test_lines_are_those_of_the_file(tmp_path):
    t = table(tmp_path, 'a,b\n1,"two\nlines"\n\n2,y\n')
    assert t.column("a").lines([0, 1]) == [3, 5]
    assert t.column("b").cells == ["two\nlines", "y"]


def test_an_unnamed_column_gets_a_name(tmp_path):
    assert list(table(tmp_path, ",b\n0,1\n").columns) == ["column 1", "b"]


def test_the_builtin_data_are_scikit_learns():
    ours, theirs = breast_cancer(), load_breast_cancer()
    assert list(theirs.feature_names) == FEATURES
    x = np.array([ours.columns[name].values for name in FEATURES]).T
    assert np.array_equal(x, theirs.data)
    names = [theirs.target_names[i] for i in theirs.target]
    assert ours.columns["diagnosis"].cells == names


@pytest.mark.parametrize(("rows", "fraction", "seed"), [(569, 0.2, 42), (10, 0.25, 0), (11, 0.5, 7)])
def test_the_split_is_scikit_learns(rows, fraction, seed):
    train, test = train_test_split(np.arange(rows), test_size=fraction, random_state=seed)
    ours = train_test_indices(rows, fraction, seed)
    assert np.array_equal(ours[0], train)
    assert np.array_equal(ours[1], test)
    classes = np.random.default_rng(rows).integers(0, 3, rows) if rows > 10 else np.arange(10) // 5
    train, test = train_test_split(np.arange(rows), test_size=fraction, random_state=seed, stratify=classes)
    ours = train_test_indices(rows, fraction, seed, stratify=classes)
    assert np.array_equal(ours[0], train)
    assert np.array_equal(ours[1], test)
    with pytest.raises(ValueError, match="stratify"):
        train_test_indices(rows, fraction, seed, stratify=np.arange(rows))
    with pytest.raises(ValueError):
        train_test_indices(1, 0.2)
    with pytest.raises(ValueError):
        train_test_indices(10, 1.0)


# --- features ---


def fitted(t, rows=None, names=None, **options):
    encoder = FeatureEncoder().fit(t, names or list(t.columns), rows or list(range(t.rows)), **options)
    return encoder, encoder.transform(t)


def test_numbers_are_standardized_by_the_training_rows_alone(tmp_path):
    _, x = fitted(table(tmp_path, "a\n1\n3\n100\n"), rows=[0, 1])
    assert np.array_equal(x, [[-1.0], [1.0], [98.0]])


def test_missing_numbers_become_the_median_of_the_training_rows(tmp_path):
    text = "a,b\n1,1\nNA,2\n2,3\nn/a,4\n9,5\nNaN,6\n,7\n50,8\n"
    encoder, x = fitted(table(tmp_path, text), rows=[0, 1, 2, 3, 4])
    assert encoder.columns[0]["median"] == 2.0
    assert np.array_equal(x[:, 0] == x[2, 0], [False, True, True, True, False, True, True, False])
    assert encoder.plan_notes() == ["column 'a': filled 4 missing with the median, 2"]
    assert encoder.notes == ["column 'a': filled 4 missing with the median, 2"]


def test_text_becomes_a_column_per_category(tmp_path):
    t = table(tmp_path, "city\nRome\nOslo\n?\nRome\nLima\n")
    encoder, x = fitted(t, rows=[0, 1, 2, 3])
    assert np.array_equal(x, [[0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0]])
    assert encoder.columns[0]["categories"] == ["Oslo", "Rome"]
    assert encoder.notes == ["column 'city': not seen in training, taken as none: 'Lima'"]


def test_constant_and_empty_columns(tmp_path):
    encoder, _ = fitted(table(tmp_path, "a,b,c\n5,,1\n5,,2\n"))
    assert [c["name"] for c in encoder.columns] == ["c"]
    assert encoder.plan_notes() == [
        "column 'a' is left out: has the one value 5 in the training rows",
        "column 'b' is left out: empty in the training rows",
    ]


def test_the_learned_state_is_enough(tmp_path):
    t = table(tmp_path, "a,b\n1,x\n2,y\n4,x\n")
    encoder, x = fitted(t)
    assert np.array_equal(FeatureEncoder(json.loads(json.dumps(encoder.columns))).transform(t), x)


def test_columns_that_cannot_be_used(tmp_path):
    ids = "id\n" + "\n".join(f"u{i}" for i in range(60))
    for text, words in [
        (ids, "no column is left to learn from: 'id' differs in every row: an ID"),
        ("a\n1\ninf\n", "line 3: infinite"),
        ("a\n\nNA\n", "no column is left"),
    ]:
        with pytest.raises(TableError) as caught:
            fitted(table(tmp_path, text + "\n"))
        assert words in str(caught.value)


# --- target ---


def target(tmp_path, values, task=None, rows=None):
    t = read_csv_text(tmp_path, "t,x\n" + "".join(f"{v},0\n" for v in values))
    encoder = TargetEncoder()
    encoder.read(t.column("t"), task)
    return encoder, encoder.fit(t.column("t"), np.array(rows or range(len(values))))


def read_csv_text(tmp_path, text):
    (tmp_path / "data.csv").write_text(text)
    return read_csv(tmp_path / "data.csv", as_text=["t"])


KINDS = [
    (["yes", "no", "yes", "no"], None, ["no", "yes"], [1, 0, 1, 0]),
    ([1, 0, 1, 0], None, ["0", "1"], [1, 0, 1, 0]),
    (["1.0", "0", "1", "0.0"], None, ["0", "1"], [1, 0, 1, 0]),
    (["-0.0", "0", "1", "1"], None, ["0", "1"], [0, 0, 1, 1]),
    ([10, 9, 10, 9], None, ["9", "10"], [1, 0, 1, 0]),
    ([0.5, 1.5, 0.5, 1.5], "classification", ["0.5", "1.5"], [0, 1, 0, 1]),
    (["007", "7", "007", "7"], None, ["007", "7"], [0, 1, 0, 1]),
    (["Yes", "yes", "YES", "no"], None, ["YES", "no"][::-1], [1, 1, 1, 0]),
    (["None", "None", "Apnea", "Apnea"], None, ["Apnea", "None"], [1, 1, 0, 0]),
    ([1, 3, 1, 3], "regression", None, [-1, 1, -1, 1]),
    ([0.5, 1.5, 0.5, 1.5], None, None, [-1, 1, -1, 1]),
]


@pytest.mark.parametrize(("values", "task", "classes", "encoded"), KINDS)
def test_the_task_follows_the_type(values, task, classes, encoded, tmp_path):
    encoder, y = target(tmp_path, values, task)
    assert encoder.classes == classes
    assert np.array_equal(y, encoded)
    again = TargetEncoder(json.loads(json.dumps(encoder.state())))
    assert (again.classes, again.mean, again.scale) == (encoder.classes, encoder.mean, encoder.scale)
    if classes is None:
        assert np.array_equal(again.decode(y), values)


def test_many_whole_numbers_are_numbers(tmp_path):
    assert target(tmp_path, range(40))[0].classes is None
    assert target(tmp_path, [*range(20), *range(20)])[0].classes is not None
    assert target(tmp_path, [*range(21), *range(21)])[0].classes is None


def test_targets_that_cannot_be_learned(tmp_path):
    for values, task, rows, words in [
        (["a", "a", "a"], None, None, "has the one value 'a' in all 3 rows"),
        ([7, 7, 7], "regression", None, "has the one value '7' in all 3 rows"),
        (["a", 1, 2], "regression", None, "has 'a', no number, on line 2: regression needs numbers"),
        ([f"u{i}" for i in range(50)], None, None, "50 different values in 50 rows, too many for classes"),
        ([1e200, 2.5, 3.5], "regression", None, "is infinite or beyond 1e+100 on line 2"),
        (
            ["a", "b", "a", "a"],
            None,
            [0, 2, 3],
            "the one class 'a' in all training rows (the rarest class has 1 of 4",
        ),
    ]:
        with pytest.raises(TableError) as caught:
            target(tmp_path, values, task, rows)
        assert words in str(caught.value)
