"""Tables to train on and to predict, and the predictions."""

from table_rows import E, both, csv

# training file, target and options; file to predict; the lines that come out
PREDICTED = {
    "an age with a stray word": (
        csv("age,bought", [f"{'unknown' if i == 5 else 20 + i % 40},{int(i % 40 > 20)}" for i in range(400)]),
        "bought",
        "age\n25\n25.0\n61\n75\n",
        ["0", "0", "1", "1"],
    ),
    "labels as they are written": (
        csv("x,code", both(lambda i, z: f"{z:.2f},{'1e5' if z > 0 else '00123'}")),
        "code",
        "x\n1\n-1\n",
        ["1e5", "00123"],
    ),
    "a word that has a column, in every row": (
        csv("a,y", [f"{'<2000' if i % 5 == 0 else i},{-50 if i % 5 == 0 else 2 * i}.5" for i in range(400)]),
        "y",
        "a\n<2000\n",
        [-50.5],
    ),
    "all digits": (
        csv("x,price", both(lambda i, z: f"{z:.4f},{123456789 + 50 * z:.2f}")),
        "price",
        "x\n-2\n-1\n0\n1\n2\n",
        [123456689, 123456739, 123456789, 123456839, 123456889],
    ),
    "a cell far out": (
        csv("x,y", both(lambda i, z: f"{z:.4f},{3 * z:.3f}")),
        "y",
        "x\n1\n1e300\n2\n",
        [3.0, 3.0488e6, 6.0],
    ),
    "numbers with commas": (
        csv("x;y", both(lambda i, z: f"{z:.3f};{3 * z:.3f}".replace(".", ","))),
        "y",
        "x\n1,5\n2\n".replace(",", ",").replace("x", '"x"').replace("1,5", '"1,5"'),
        [4.5, 6.0],
    ),
    "a dot that separates thousands": (
        csv(
            "x;y", both(lambda i, z: f"{10000 * z + 50000:,.1f};{z:.3f}".translate(str.maketrans(",.", ".,")))
        ),
        "y",
        "x\n50.000\n60.000,0\n".replace("60.000,0", '"60.000,0"'),
        [0.0, 1.0],
    ),
    "codes that look like numbers": (
        csv("code,y", both(lambda i, z: f"{('A', 'B', '7')[i % 3]},{i % 3}")),
        "y --task regression",
        "code\n7\n7.0\n",
        [2.0, 2.0],
    ),
    "no header, the target in the middle": (
        "\n".join(both(lambda i, z: f"{E[i]:.3f},{3 * z:.3f},{z:.4f}")) + "\n",
        "2 --no-header",
        "0,1\n0,2\n",
        [3.0, 6.0],
    ),
    "an index that only the training had": (
        csv(",x,y", both(lambda i, z: f"{i},{z:.3f},{3 * z:.3f}")),
        "y",
        "x\n1\n2\n",
        [3.0, 6.0],
    ),
    "an empty cell": (
        csv("deck,y", [f"{'' if i % 2 else 'ABC'[i // 2 % 3]},{10 * (i % 2)}.5" for i in range(400)]),
        "y",
        "deck,more\nA,1\n,2\n",
        [0.5, 10.5],
    ),
}

NEAR = csv("x,y", both(lambda i, z: f"{z / 10:.4f},{3 * z:.3f}"))
OUT = csv("x,y", [*both(lambda i, z: f"{z / 10:.4f},{3 * z:.3f}"), *["2500.5,9"] * 5])
# training file, file to predict; what stands in the notes, and what does not
NOTED = {
    "a number as those that were cut": (
        OUT,
        "x\n0.1\n600\n",
        ["600 on line 3 is so far from all others"],
        [],
    ),
    "two such numbers": (OUT, "x\n-1e5\n600\n", ["-100000 on lines 2, 3 is so far", "taken as -1."], []),
    "a number that was not cut": (OUT, "x\n-10\n40\n", [], ["note"]),
    "a number that training had none of": (NEAR, "x\n600\n1e4\n", [], ["note"]),
    "a million standard deviations": (
        NEAR,
        "x\n600\n1e6\n",
        ["1000000 on line 3 is far from all that was"],
        [],
    ),
    "a number without the unit of all": (
        csv("x,y", both(lambda i, z: f"{50 + 10 * z:.1f}%,{z:.3f}")),
        "x\n40%\n0\n0.5\n0.25\n",
        ["'0.5' has no '%' (lines 4, 5) and is read as 0.5 of the same unit: convert it"],
        [],
    ),
    "units as in training": (
        csv("x,y", both(lambda i, z: f"{50 + 10 * z:.1f}{'%' * (i % 2)},{z:.3f}")),
        "x\n40%\n0.5\n",
        [],
        ["note"],
    ),
    "a number that overflows": (
        NEAR,
        "x\n1e308\n",
        ["1e+308 on line 2 is far from all that was"],
        ["overflow"],
    ),
    "one that overflows below": (
        NEAR,
        "x\n-1.7e308\n",
        ["-1.7e+308 on line 2 is far from all"],
        ["overflow"],
    ),
}
