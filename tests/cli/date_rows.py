"""Tables with columns of dates: dates that mean none, dates without dashes, offsets from UTC."""

from datetime import date, timedelta

from table_rows import E, both, csv

FIRST = date(2010, 1, 1)
DAYS = [FIRST + timedelta(days=17 * i % 1000) for i in range(400)]
FEW = ["20240128", "20240129", "20240130", "20240131", "20240201", "20240202"]


def days(cell, name="day"):
    """A table of the cells, and how many days after the first each is but for a half."""
    return csv(f"{name},x,y", [f"{cell(i, d)},{E[i]:.3f},{(d - FIRST).days}.5" for i, d in enumerate(DAYS)])


def with_none(none, each, form="%Y-%m-%d"):
    return days(lambda i, d: none if i % each == 0 else f"{d:{form}}")


def mostly(none, form="%Y-%m-%d"):
    return days(lambda i, d: none if i % 4 else f"{d:{form}}")


FAR = "so far from all other dates that it is taken as missing"
# the file, the target and options; what stands in the output, and what does not
DATES = {
    **{
        f"{none}, for none": (
            with_none(none, 30),
            "y",
            [f"column 'day': '{none}' on lines 2, 32, 62 and 11 more: {FAR}", "2 columns as 7 numbers"],
            ["better than to guess"],
        )
        for none in ("9999-12-31", "0001-01-01", "2262-04-11", "2099-12-31", "1900-01-01")
    },
    "9999-12-31 with a time": (with_none("9999-12-31 23:59:59", 30, "%Y-%m-%d %H:%M:%S"), "y", [FAR], []),
    "9999-12-31 in most rows": (mostly("9999-12-31"), "y", [FAR, "filled 300 missing"], []),
    "99991231 among dates without dashes": (
        with_none("99991231", 30, "%Y%m%d"),
        "y",
        ["20100118 is read as a date", FAR],
        [],
    ),
    "0 among dates without dashes": (
        mostly("0", "%Y%m%d"),
        "y",
        [
            "20100101 is read as a date",
            "is dates but for '0' on lines 3, 4, 5 and 297 more: taken as missing",
        ],
        [],
    ),
    "few different dates without dashes": (
        csv("day,y", both(lambda i, z: f"{FEW[i % 6]},{i % 6}.5")),
        "y --dry-run",
        ["20240128 is read as a date"],
        [],
    ),
    "two numbers, of which one is no date": (
        csv("code,y", both(lambda i, z: f"{(20240131, 20240132)[i % 2]},{i % 2}.5")),
        "y --dry-run --task regression",
        ["standardized"],
        ["read as a date"],
    ),
    "dates of two centuries": (
        csv("day,y", both(lambda i, z: f"{date(1800, 1, 1) + timedelta(days=211 * i)},{z:.3f}")),
        "y --dry-run",
        ["date %Y-%m-%d"],
        ["missing"],
    ),
    "years of births, and one of long ago": (
        csv("day,y", both(lambda i, z: f"{1700 if i == 7 else 1940 + i % 60}-0{1 + i % 9}-11,{z:.3f}")),
        "y --dry-run",
        ["date %Y-%m-%d"],
        ["missing"],
    ),
    "one day but for one date of last year": (
        csv("day,y", both(lambda i, z: f"{'2023-01-01' if i == 7 else '2024-01-01'},{z:.3f}")),
        "y --dry-run",
        [],
        ["missing"],
    ),
    "offsets in some rows": (
        days(lambda i, d: f"{d}T{i % 24:02}:00:00{'+02:00' if i % 2 else ''}"),
        "y",
        ["'2010-01-01T00:00:00' on lines 2, 4, 6 and 197 more has no offset from UTC, which others have"],
        [],
    ),
    "offsets in all rows": (
        days(lambda i, d: f"{d}T{i % 24:02}:00:00{('Z', '+0200', '-05:30')[i % 3]}"),
        "y --dry-run",
        ["date ISO8601"],
        ["no offset"],
    ),
}

# training file, target and options; file to predict; the lines that come out
PREDICTED_DATES = {
    "a day, where some rows hold 9999-12-31": (
        csv("day,y", [f"{'9999-12-31' if i % 30 == 0 else d},{0 if i % 30 == 0 else (d - FIRST).days}.5"
                      for i, d in enumerate(DAYS)]),
        "y",
        "day\n2010-05-01\n9999-12-31\n0001-01-01\n",
        [120.5, 0.5, 0.5],
    ),
    "a day, where most rows hold 0": (
        csv("day,y", [f"{0 if i % 4 else f'{d:%Y%m%d}'},{0 if i % 4 else (d - FIRST).days}.5"
                      for i, d in enumerate(DAYS)]),
        "y",
        "day\n0\n20100501\n0\n0\n99991231\n",
        [0.5, 120.5, 0.5, 0.5, 0.5],
    ),
}  # fmt: skip

LOCAL = days(lambda i, d: f"{d}T{i % 24:02}:00:00+02:00")
# training file, file to predict; what stands in the notes, and what does not
NOTED_DATES = {
    "9999-12-31, which training had none of": (
        with_none("", 30), "day,x\n2010-05-01,0\n9999-12-31,0\n", [f"'9999-12-31' on line 3: {FAR}"], []
    ),
    "a day ten years after": (with_none("", 30), "day,x\n2023-05-01,0\n", [], ["note"]),
    "a time without the offset of all": (
        LOCAL,
        "day,x\n2010-01-01T00:00:00,0\n2010-01-01T00:00:00+02:00,0\n",
        ["'2010-01-01T00:00:00' on line 2 has no offset from UTC, which others have, and is read as UTC"],
        [],
    ),
    "a time with the offset of all": (LOCAL, "day,x\n2010-01-01T00:00:00+01:00,0\n", [], ["note"]),
}  # fmt: skip
