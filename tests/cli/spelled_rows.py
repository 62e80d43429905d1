"""Tables whose cells say one thing in several ways: decimal marks, spaces, words that training knows."""

from table_rows import E, both, csv


def marks(value, i, every=2):
    """A number with a decimal comma in some rows."""
    return f"{value}" if i % every else f'"{value}"'.replace(".", ",")


def spaced(i):
    return ["a b", "a\u00a0b", "a  b", "a\u200b b", "c"][i % 5]


# the file, the target and options; what stands in the output, and what does not
SPELLED = {
    "two decimal marks": (
        csv("x,b,y", both(lambda i, z: f"{marks(f'{abs(z):.1f}', i)},{E[i]:.2f},{z:.3f}")),
        "y",
        ["column 'x': numbers with two decimal marks, '0,", "are taken as texts: convert them to one"],
        [],
    ),
    "two decimal marks of many numbers": (
        csv("x,b,y", both(lambda i, z: f"{marks(f'{abs(z):.4f}', i)},{E[i]:.2f},{z:.3f}")),
        "y",
        ["column 'x' is left out: has numbers with two decimal marks, '0,", "convert them to one"],
        [],
    ),
    "two decimal marks of few numbers": (
        csv("x,b,y", both(lambda i, z: f"{marks((1.5, 2.5)[i % 4 // 2], i)},{E[i]:.2f},{z:.3f}")),
        "y",
        ["numbers with two decimal marks, '1,5' (200) and '1.5' (200), are taken as texts"],
        [],
    ),
    "two decimal marks and a unit": (
        csv("x,b,y", both(lambda i, z: f"{marks(f'{abs(z):.1f} kg', i)},{E[i]:.2f},{z:.3f}")),
        "y",
        ["numbers with two decimal marks, '0,"],
        [],
    ),
    "thousands in two ways": (
        csv("x,b,y", both(lambda i, z: f"\"{('1,234.5', '1.234,5')[i % 2]}\",{E[i]:.2f},{z:.3f}")),
        "y",
        ["numbers with two decimal marks, '1,234.5' (200) and '1.234,5' (200)"],
        [],
    ),
    "some decimal commas, one of which might be thousands": (
        csv("x,y", both(lambda i, z: f"{marks(f'{abs(z):.3f}', i, 10)},{z:.3f}")),
        "y",
        ["is numbers but for", ": taken as missing"],
        ["read '"],
    ),
    "two decimal marks of the target": (
        csv("x,y", both(lambda i, z: f"{z:.3f},{marks(f'{i % 20 / 2:.1f}', i)}")),
        "y",
        ["numbers with two decimal marks, '0,0' (200) and '0.5' (200), are taken as texts: convert them to one"],
        [],
    ),
    "two decimal marks of many targets": (
        csv("x,y", both(lambda i, z: f"{z:.3f},{marks(f'{abs(z):.4f}', i)}")),
        "y",
        ["too many for classes", "It has numbers with two decimal marks, '0,", "convert them to one"],
        [],
    ),
    "two units of the target": (
        csv("x,y", both(lambda i, z: f"{z:.3f},{(5, 7)[i % 4 // 2]} {('kg', 'g')[i % 2]}")),
        "y",
        ["numbers in several units, 'g' (200) and 'kg' (200), are taken as texts"],
        [],
    ),
    "versions are no numbers": (
        csv("x,y", both(lambda i, z: f"{('1.2.3', '1.2', '1.10.1')[i % 3]},{z:.3f}")),
        "y",
        ["as 3 numbers"],
        ["decimal marks"],
    ),
    "thousands and decimals": (
        csv("x,y", both(lambda i, z: f"\"{1000 + abs(z) * 1000:,.0f}\",{z:.3f}" if i % 2 else f"{abs(z):.2f},{z:.3f}")),
        "y",
        ["the comma separates thousands"],
        ["decimal marks"],
    ),
    "other spaces in a category": (
        csv("x,b,y", both(lambda i, z: f"{spaced(i)},{E[i]:.2f},{z:.3f}")),
        "y",
        ["2 columns as 3 numbers", "several forms of Unicode, or with other spaces, are one text"],
        [],
    ),
    "other spaces in a class": (
        csv("x,y", both(lambda i, z: f"{z:.3f},{spaced(i)}")),
        "y",
        ["2 classes", "are one class"],
        ["3 classes"],
    ),
    "JSON lines": (
        '{"x": 1, "y": 2}\n' * 9, "y", ["JSON, no CSV: write pandas.read_json(path, lines=True).to_csv"], []
    ),
}  # fmt: skip

WORDY = csv(
    "x,y",
    [
        f"{'unknown' if i % 100 == 0 else (10, 10, 10, 0, 20)[i % 5]},{(10, 10, 10, 0, 20)[i % 5]}"
        for i in range(300)
    ],
)
# training file, target and options; file to predict; the lines that come out
PREDICTED_WORDS = {
    "a word of training, alone": (WORDY, "y --task regression", "x\nunknown\n", [10]),
    "a word of training, among others": (WORDY, "y --task regression", "x\nunknown\n5\n5\n", [10, 5, 5]),
    "a category with other spaces": (
        csv("x,y", both(lambda i, z: f"{spaced(i)},{i % 5 // 4}.5")), "y", "x\na\u2009b\nc\n", [0.5, 1.5]
    ),
}  # fmt: skip
