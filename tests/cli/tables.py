"""The table that the tests of the command line train on, and files."""

import csv

import numpy as np

ROWS = 120


def people():
    """A header and rows with a number, a text and a target of each kind; some cells are empty."""
    generator = np.random.default_rng(0)
    age = generator.normal(40, 10, ROWS).round(1)
    city = generator.choice(["Oslo", "Rome", "Lima"], ROWS)
    income = (1000 * age + 5000 * (city == "Oslo") + generator.normal(0, 1000, ROWS)).round(2)
    rows = [["age", "city", "income", "buys"]]
    for i in range(ROWS):
        rows.append(
            [
                "" if i % 17 == 0 else age[i],
                "NA" if i % 23 == 0 else city[i],
                income[i],
                "yes" if income[i] > 42000 else "no",
            ]
        )
    return [[str(cell) for cell in row] for row in rows]


def write(name, rows):
    with open(name, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def read(name):
    with open(name, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))
