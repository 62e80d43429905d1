"""Tables as people have them, a row each, and what `train` says of them."""

import numpy as np

GENERATOR = np.random.default_rng(0)
Z = GENERATOR.normal(size=400)
E = GENERATOR.normal(size=400)
SMALL = slice(0, 80)


def csv(header, rows):
    return "\n".join([header, *rows]) + "\n"


def both(form, rows=400):
    """Rows made by a function of the number of the row, and a normal variate."""
    return [form(i, z) for i, z in enumerate(Z[:rows])]


def month(i):
    return f"2024-{1 + i % 12:02d}-{1 + i % 28:02d}"


# name: (file, target and options, what the output has, what it has not)
TABLES = {
    # --- words for what is missing ---
    "None is a class": (
        csv("x,disorder", both(lambda i, z: f"{z:.3f},{'None' if z < 0 else 'Apnea'}")),
        "disorder",
        [
            "2 classes, Apnea (189), None (211)",
            "'None' (211 rows) is a class of its own; if it means missing",
        ],
        [],
    ),
    "none is a category": (
        csv("debtors,y", both(lambda i, z: f"{'none' if z < 0 else 'guarantor'},{int(z < 0)}")),
        "y",
        ["'none' (169) kept as a category", "tells 'y' of every row: a copy of the target; kept", "1.0000"],
        ["filled"],
    ),
    "NA in a column of states": (
        csv("x,state,y", both(lambda i, z: f"{z:.2f},{('NA', 'DE', 'FR')[i % 3]},{int(z > 0)}")),
        "y",
        ["2 columns as 4 numbers", "'NA' ("],
        ["missing with"],
    ),
    "NA among numbers": (
        csv("x,y", both(lambda i, z: f"{'NA' if i % 9 == 0 else format(z, '.2f')},{int(z > 0)}")),
        "y",
        ["filled 45 missing with the median", "marked in a 0/1 column"],
        ["category"],
    ),
    "NA in a target of numbers": (
        csv("x,y", both(lambda i, z: f"{z:.2f},{'NA' if i < 5 else format(2 * z + 1, '.2f')}")),
        "y",
        ["395 rows", "5 rows have no 'y' (lines 2, 3, 4 and 2 more) and are left out", "numbers from"],
        [],
    ),
    "a word that is said to be missing": (
        csv("x,kind", both(lambda i, z: f"{z:.3f},{'None' if i % 4 == 0 else 'ab'[int(z > 0)]}")),
        "kind --missing None",
        ["300 rows", "100 rows have no 'kind'", "2 classes, a"],
        [],
    ),
    "a number that is said to be missing": (
        csv("x,y", both(lambda i, z: f"{-999 if i % 9 == 0 else format(z, '.2f')},{int(z > 0)}")),
        "y --missing -999",
        ["filled 45 missing"],
        [],
    ),
    "two options of what is said to be missing": (
        csv(
            "x,y",
            both(lambda i, z: f"{(-999, -888)[i % 2] if i % 9 == 0 else format(z, '.2f')},{int(z > 0)}"),
        ),
        "y --missing -999 --missing -888",
        ["filled 45 missing"],
        [],
    ),
    # --- one cell and its column ---
    "one word among numbers": (
        csv("age,bought", [f"{'unknown' if i == 5 else 20 + i % 40},{int(i % 40 > 20)}" for i in range(400)]),
        "bought",
        ["1 column as 1 number", "is numbers but for 'unknown' on line 7: taken as missing", "median, 39"],
        [],
    ),
    "a frequent word among numbers": (
        csv("age,y", both(lambda i, z: f"{'retired' if i % 9 == 0 else 20 + i % 40},{int(z > 0)}")),
        "y",
        ["'retired' (45) on lines 2, 11, 20 and 42 more: each has a 0/1 column", "as 2 numbers"],
        [],
    ),
    "digits among codes": (
        csv("size,y", both(lambda i, z: f"{('S', 'M', 'L', '38', '40')[i % 5]},{int(z > 0)}")),
        "y",
        ["1 column as 5 numbers"],
        ["numbers but for"],
    ),
    # --- numbers written in another way ---
    "decimal commas": (
        csv("x;y", both(lambda i, z: f"{round(2 * z) / 2:.1f};{int(z > 0)}".replace(".", ","))),
        "y",
        ["1 column as 1 number", "the comma is the decimal mark"],
        [],
    ),
    "a target with decimal commas": (
        csv("x;y", both(lambda i, z: f"{z:.2f};{3 * z:.2f}".replace(".", ","))),
        "y",
        [
            "numbers from -11.32 to 9.2",
            "target 'y': ",
            "the comma is the decimal mark",
            "1.0000",
        ],
        [],
    ),
    "thousands and a currency": (
        csv("price,y", both(lambda i, z: f'"${1e6 + 1e5 * z:,.0f}",{int(z > 0)}')),
        "y",
        ["1 column as 1 number", "the comma separates thousands, '$' is left away"],
        [],
    ),
    "thousands as in Germany": (
        csv(
            "price;y",
            both(lambda i, z: f"{30000 + 9000 * z:,.2f} €;{int(z > 0)}".translate(str.maketrans(",.", ".,"))),
        ),
        "y",
        ["1 column as 1 number", "the comma is the decimal mark, the dot separates thousands, '€'"],
        [],
    ),
    "percent": (
        csv("rate,y", both(lambda i, z: f"{50 + 9 * z:.1f}%,{int(z > 0)}")),
        "y",
        ["1 column as 1 number", "'%' is left away"],
        [],
    ),
    "a unit": (
        csv("term,y", both(lambda i, z: f"{(36, 60)[int(z > 0)]} months,{i % 2}")),
        "y",
        ["1 column as 1 number", "'months' is left away"],
        [],
    ),
    "losses in brackets": (
        csv("gain,y", both(lambda i, z: f"{f'({-z:.2f})' if z < 0 else format(z, '.2f')},{int(z > 0)}")),
        "y",
        ["1 column as 1 number"],
        ["category", "but for"],
    ),
    "whole numbers beyond 64 bits": (
        csv("great,y", both(lambda i, z: f"{10**30 + int(z * 10**28)},{int(z > 0)}")),
        "y",
        ["1 column as 1 number"],
        ["left out"],
    ),
    # --- dates and text ---
    "dates": (
        csv("day,y", both(lambda i, z: f"{month(i)},{i % 12}")),
        "y --task regression",
        ["1 column as 5 numbers"],
        ["left out"],
    ),
    "days that are none": (
        csv("day,x,y", both(lambda i, z: f"2024-{1 + i % 2:02}-{1 + i % 31:02},{z:.2f},{i % 12}")),
        "y --task regression",
        ["is dates but for '2024-02-30'", ": taken as missing", "missing with the mean date"],
        [],
    ),
    "times of twelve hours": (
        csv("at,y", both(lambda i, z: f"{1 + i % 12}:30 {'AM' if i % 24 < 12 else 'PM'},{int(i % 24 > 11)}")),
        "y",
        ["1 column as 3 numbers"],
        ["left out", "categor"],
    ),
    "dates that may be read in two ways": (
        csv("day,x,y", both(lambda i, z: f"{1 + i % 12}/{1 + i % 11}/2024,{z:.2f},{int(z > 0)}")),
        "y",
        ["'1/1/2024' is read with the month first (if not: --day-first)"],
        [],
    ),
    "many categories": (
        csv("zip,x,y", both(lambda i, z: f"z{i % 90},{z:.2f},{int(z > 0)}")),
        "y",
        ["90 different texts: the 50 most frequent have a 0/1 column each", "2 columns as 52 numbers"],
        [],
    ),
    "names with titles": (
        csv(
            "name,y",
            both(
                lambda i, z: (
                    f'"Name{i}, {("Mr", "Mister", "Miss")[i % 3]} {chr(97 + i % 26) * 9}",{i % 3 % 2}'
                )
            ),
        ),
        "y",
        ["1 column as"],
        ["left out"],
    ),
    # --- the header, and columns that are no data ---
    "no header": (
        csv("6,148,1", both(lambda i, z: f"{i % 7},{90 + 9 * z:.0f},{int(z > 0)}")),
        "1",
        ["the first line looks like data, not like a header (6, 148, 1): if it is, use --no-header"],
        [],
    ),
    "no header, as said": (
        csv("6,148,1", both(lambda i, z: f"{i % 7},{90 + 9 * z:.0f},{int(z > 0)}")),
        "3 --no-header",
        ["401 rows", "target 'column 3': 2 classes"],
        ["looks like data"],
    ),
    "a header of years": (
        csv("2001,2002,2003,y", both(lambda i, z: f"{z:.2f},{z:.1f},{i % 9},{int(z > 0)}")),
        "y",
        ["3 columns as 3"],
        ["looks like data"],
    ),
    "an index": (
        csv(",x,kind", [f"{i},{e:.2f},{'abc'[i // 134]}" for i, e in enumerate(E)]),
        "kind",
        ["column 'column 1' is left out: counts the rows: an index (to use it: --keep 'column 1')"],
        ["0.9875"],
    ),
    "an index that is kept": (
        csv(",x,kind", [f"{i},{e:.2f},{'abc'[i // 134]}" for i, e in enumerate(E)]),
        "kind --keep column\u00a01".replace("\u00a0", "_"),
        ["has no column 'column_1': did you mean 'column 1'?"],
        [],
    ),
    "customer numbers": (
        csv("CustomerID,x,y", both(lambda i, z: f"{i * 7919 % 9973},{z:.2f},{int(z > 0)}")),
        "y",
        ["column 'CustomerID' is left out: differs in every row: an ID"],
        [],
    ),
    "row names, as R writes them": (
        csv("x,y", both(lambda i, z: f"r{i},{z:.2f},{int(z > 0)}")),
        "y",
        ["their first one is taken as the rows' name", "1 column as 1 number"],
        [],
    ),
    "names and tickets": (
        csv("name,ticket,x,y", both(lambda i, z: f"n{i},t{i},{z:.2f},{int(z > 0)}")),
        "y",
        ["column 'name' is left out: has 320 different texts", "column 'ticket' is left out", "1 column as"],
        [],
    ),
    "nothing but names": (
        csv("name,ticket,cabin,y", both(lambda i, z: f"n{i},t{i},c{i},{int(z > 0)}")),
        "y",
        ["no column is left to learn from: 'name' has 320", "'ticket' has 320", "'cabin' has 320"],
        [],
    ),
    "a copy of the target": (
        csv("alive,x,survived", both(lambda i, z: f"{('no', 'yes')[int(z > 0)]},{E[i]:.2f},{int(z > 0)}")),
        "survived",
        ["column 'alive' is left out: tells 'survived' of every row: a copy of the target"],
        [],
    ),
    "the target in another unit": (
        csv("celsius,x,y", both(lambda i, z: f"{round(z, 2)},{E[i]:.2f},{round(z, 2) * 1.8 + 32:.3f}")),
        "y",
        ["column 'celsius' is left out: is the target itself, in another unit"],
        [],
    ),
    "constants": (
        csv("a,b,x,y", both(lambda i, z: f"5,usd,{z:.2f},{int(z > 0)}")),
        "y",
        ["column 'a' is left out: has the one value 5", "column 'b' is left out: has the one value 'usd'"],
        [],
    ),
    "a name with a comma": (
        csv('"name, full",x,y', both(lambda i, z: f"n{i},{z:.2f},{int(z > 0)}")),
        "y --drop name,_full",
        ["has no column 'name': did you mean 'name, full'?"],
        [],
    ),
    "the mark of Excel": (
        csv("sep=,\nx,y", both(lambda i, z: f"{z:.2f},{int(z > 0)}")),
        "y",
        ["1 column as"],
        [],
    ),
    "a comment first": (
        csv("# mine\nx,y", both(lambda i, z: f"{z:.2f},{int(z > 0)}")),
        "y",
        ["as a title: '# mine'"],
        [],
    ),
    "a title first": (
        csv("Sales 2024\n\nx,y", both(lambda i, z: f"{z:.2f},{int(z > 0)}")),
        "y",
        ["as a title: 'Sales"],
        [],
    ),
    "a column called #": (
        csv("#,x,y", both(lambda i, z: f"{i},{z:.2f},{int(z > 0)}")),
        "y",
        ["'#' is left out"],
        [],
    ),
    "rows of commas at the end": (
        csv("x,y", [*both(lambda i, z: f"{z:.2f},{int(z > 0)}"), ",", ",", ","]),
        "y",
        ["400 rows", "skipped 3 empty rows at the end"],
        [],
    ),
    "a name twice": (
        csv("x,x,y", both(lambda i, z: f"{z:.2f},{E[i]:.2f},{int(z > 0)}")),
        "y",
        ["the header names 'x' twice", "2 columns as 2"],
        [],
    ),
    # --- the target ---
    "grades": (
        csv("x,grade", both(lambda i, z: f"{z:.2f},{round(10 + 2 * z)}")),
        "grade",
        ["14 classes", "(for numbers: --task regression)", "class '4' has 2 rows: its scores mean little"],
        [],
    ),
    "spellings of true": (
        csv("x,ok", both(lambda i, z: f"{z:.2f},{('True', 'true', 'TRUE')[i % 3] if z > 0 else 'False'}")),
        "ok",
        ["2 classes, False (211), TRUE (189)", "'TRUE', 'True', 'true' are one class"],
        [],
    ),
    "classes that differ in case": (
        csv("x,sex", both(lambda i, z: f"{z:.2f},{('Male', 'male')[i % 2] if z > 0 else 'Female'}")),
        "sex",
        ["3 classes", "'Male', 'male' differ only in upper and lower case"],
        [],
    ),
    "a class of one row": (
        csv("x,kind", both(lambda i, z: f"{z:.2f},{'c' if i == 399 else 'ab'[int(z > 0)]}")),
        "kind",
        ["class 'c' has 1 row, which is in training: nothing tests it"],
        [],
    ),
    "rows without a target": (
        csv("x,y", both(lambda i, z: f"{z:.2f},{'' if i in (3, 9) else int(z > 0)}")),
        "y",
        ["398 rows", "2 rows have no 'y' (lines 5, 11) and are left out"],
        [],
    ),
    "a class with an escape sequence": (
        csv("x,y", both(lambda i, z: f"{z:.2f},{'a' if z > 0 else chr(27) + '[31mb'}")),
        "y",
        ["\\x1b[31mb (211)"],
        ["\x1b"],
    ),
    "the two forms of é": (
        csv("cafe\u0301,y", both(lambda i, z: f"{z:.2f},{int(z > 0)}")),
        "y --keep caf\u00e9",
        ["1 column as 1 number"],
        [],
    ),
    # --- the training ---
    "numbers near the end": (
        csv("x,y", both(lambda i, z: f"{z:.3f},{z * 1e200:.3e}")),
        "y",
        ["the target 'y' is infinite or beyond 1e+100 on lines 2, 3, 4"],
        ["nan"],
    ),
    "an outlier": (
        csv("x,y", both(lambda i, z: f"{'1e300' if i == 7 else format(z, '.2f')},{int(z > 0)}")),
        "y",
        ["1e+300 on line 9 is so far from all others that it is taken as", "1.0000"],
        [],
    ),
    "a median": (
        csv("x,y", [*[f"{1.234 + i / 1000:.3f},{e:.2f}" for i, e in enumerate(E)], ",1.0", ",1.0"]),
        "y --seed 1",
        ["filled 2 missing with the median, 1."],
        ["00000"],
    ),
    "noise": (
        csv("x,y", both(lambda i, z: f"{E[i]:.2f},{int(i % 5 == 0)}")),
        "y",
        ["always '0'", "is no better than to guess '0' (test accuracy 0.8000, 0.8000)"],
        [],
    ),
    "numbers nobody can tell": (
        csv("x,y", both(lambda i, z: f"{E[i]:.2f},{z:.2f}")),
        "y",
        ["always the mean", "is no better than to guess the mean (test R2 -"],
        [],
    ),
}
