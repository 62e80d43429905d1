"""Tables that `train` read wrongly: units, multiples, rounded copies, repeated headers, dates without dashes."""

from datetime import date, datetime, timedelta

from table_rows import E, both, csv, month

WIDE = [f"column {i} " + "of a long name" * 10 for i in range(600)]
CAFE = ("caf\u00e9", "cafe\u0301", "bar")
DAYS = [date(2020, 1, 1) + timedelta(days=3 * i) for i in range(400)]

# name: (file, target and options, what the output has, what it has not)
ATTACKED = {
    # --- numbers ---
    "thousands and millions": (
        csv("x,y", both(lambda i, z: f"{abs(z):.1f}{'K' if i % 2 else 'M'},{z:.3f}")),
        "y",
        ["1 column as 1 number", "K is 1000, M a million"],
        ["taken as missing"],
    ),
    "thousands beside numbers without": (
        csv(
            "x,y", both(lambda i, z: f"{900 * abs(z):.0f},{z:.3f}" if i % 2 else f"{1 + abs(z):.1f}k,{z:.3f}")
        ),
        "y",
        ["1 column as 1 number", "K is 1000"],
        ["taken as missing"],
    ),
    "parts beside percents": (
        csv(
            "x,y", both(lambda i, z: f"{f'{50 + 9 * z:.0f}%' if i % 2 else f'{0.5 + 0.09 * z:.2f}'},{z:.3f}")
        ),
        "y",
        [
            "1 column as 1 number",
            "%' as 4",
            "has no '%' (lines ",
            "of the same unit: convert it in the file if it is another one",
        ],
        [],
    ),
    "parts beside percents in the target": (
        csv("x,y", both(lambda i, z: f"{z:.3f},{f'{50 + 9 * z:.0f}%' if i else '0.5'}")),
        "y",
        ["target 'y': read '", "%' as 4", "target 'y': '0.5' has no '%' (line 2) and is read as 0.5"],
        [],
    ),
    "0 needs no unit": (
        csv("x,y", both(lambda i, z: f"{f'${50 + 9 * z:.0f}' if i % 2 else '0'},{z:.3f}")),
        "y",
        ["read '$", "'$' is left away"],
        ["has no"],
    ),
    "names like the marks of other files": (
        csv("par1,bzhours,y", both(lambda i, z: f"{abs(z):.3f},{E[i]:.3f},{z:.3f}")),
        "y",
        ["2 columns"],
        ["Parquet", "compressed"],
    ),
    "one unit is no multiple": (
        csv("x,y", both(lambda i, z: f"{abs(z):.1f}m,{z:.3f}")),
        "y",
        ["'m' is left away"],
        ["million"],
    ),
    "grams and kilograms": (
        csv("x,b,y", both(lambda i, z: f"{abs(z):.2f}{'kg' if i % 2 else 'g'},{E[i]:.2f},{z:.3f}")),
        "y",
        ["'x' is left out: has numbers in several units, 'g' (200) and 'kg' (200): convert them to one"],
        ["taken as missing"],
    ),
    "two currencies": (
        csv("x,b,y", both(lambda i, z: f"{'$' if i % 3 else '€'}{abs(z):.2f},{E[i]:.2f},{z:.3f}")),
        "y",
        ["has numbers in several units, '$' (266) and '€' (134)"],
        [],
    ),
    "sizes of packets stay categories": (
        csv("x,b,y", both(lambda i, z: f"{('100g', '1kg', '5kg', '500g')[i % 4]},{E[i]:.2f},{z:.3f}")),
        "y",
        ["2 columns as 5 numbers"],
        ["several units"],
    ),
    "losses in parentheses": (
        csv("x,y", both(lambda i, z: (f"({-z:.2f})" if z < 0 else f"{z:.2f}") + f",{E[i]:.3f}")),
        "y",
        ["column 'x': read '(", ") as -0."[2:]],
        ["missing"],
    ),
    "a minus of typography": (
        csv("x,y", both(lambda i, z: f"{z:.2f}".replace("-", "−") + f",{E[i]:.3f}")),
        "y",
        ["column 'x': read '−"],
        ["missing"],
    ),
    "a target too small to square": (
        csv("x,y", both(lambda i, z: f"{z:.3f},{E[i] * 1e-200}")),
        "y",
        ["the target 'y' has numbers that differ by less than 1e-100: scale the column"],
        [],
    ),
    "a column too small to square": (
        csv("x,y", both(lambda i, z: f"{z * 1e-200},{E[i]:.3f}")),
        "y",
        ["column 'x' has numbers that differ by less than 1e-100", "--drop 'x'"],
        [],
    ),
    **{
        f"a target of few numbers, as {form.format(1)}": (
            csv("x,y", both(lambda i, z, form=form: f'{z:.3f},"{form.format(1 + i % 3)}"', 60)),
            "y",
            ["3 classes, " + form.format(3 if form in ("({})", "−{}", "{}-") else 1)],
            [],
        )
        for form in ("${}", "{}0%", "{},000", "{} stars", "{}K", "({})", "−{}", "{}-", "{} 000")
    },
    "decimals with a sign, as classes": (
        csv("x,y", both(lambda i, z: f"{z:.3f},${1 + i % 3}.5", 60)),
        "y --task classification",
        ["3 classes, $1.5"],
        [],
    ),
    "cards that differ in the last digit": (
        csv("x,y", both(lambda i, z: f"{z:.3f},{4111111111111111 + i % 2}", 60)),
        "y",
        ["2 classes, 4111111111111111 (30), 4111111111111112 (30)"],
        ["one class"],
    ),
    "a target of many numbers of 16 digits": (
        csv("x,y", both(lambda i, z: f"{z:.3f},{10**15 + i}", 60)),
        "y",
        ["numbers from 1e+15"],
        ["classes,"],
    ),
    "thousands and millions in letters": (
        csv("x,b,y", both(lambda i, z: f"{i} {('thousand', 'million')[i % 2]},{E[i]:.3f},{z:.3f}", 60)),
        "y",
        ["has numbers in several units"],
        ["missing"],
    ),
    "different words in a third of the cells": (
        csv("x,b,y", both(lambda i, z: f"{f'w{i}' if i % 3 == 0 else i * i},{E[i]:.3f},{z:.3f}", 240)),
        "y",
        ["'x' is left out: has"],
        ["missing"],
    ),
    "one word in a third of many cells": (
        csv("x,b,y", both(lambda i, z: f"{'low' if i % 3 == 0 else i * i},{E[i]:.3f},{z:.3f}", 240)),
        "y",
        ["is numbers but for 'low' (80)", "each has a 0/1 column"],
        ["left out"],
    ),
    "versions": (
        csv("x,b,y", both(lambda i, z: f"1.{10 + i % 3}.{100 + i},{E[i]:.3f},{z:.3f}", 60)),
        "y",
        ["'x' is left out: has"],
        ["thousands", "missing"],
    ),
    "a comma in a name between semicolons": (
        csv(
            "a;x, EUR;b;y",
            both(lambda i, z: f"{'uv'[i % 2]};{abs(E[i]):.2f};{i * i};{i % 7}".replace(".", ","), 60),
        ),
        "b",
        ["3 columns"],
        [],
    ),
    "a word for missing that stands nowhere": (
        csv("x,y", both(lambda i, z: f"{E[i] if i % 9 else 'UNKNOWN'},{z:.3f}", 60)),
        "y --missing unknown",
        ["note: --missing unknown: no cell holds it"],
        [],
    ),
    "addresses of three digits in each part": (
        csv("ip,b,y", both(lambda i, z: f"192.168.{100 + i % 60}.{100 + i % 99},{E[i]:.3f},{z:.3f}", 60)),
        "y",
        ["'ip' is left out: has 48 different texts"],
        ["thousands"],
    ),
    "numbers with dots at thousands": (
        csv("x,y", both(lambda i, z: f"1.{100 + i}.{300 + i % 99}.{100 + i % 99},{z:.3f}", 60)),
        "y",
        ["1 column as 1 number", "the dot separates thousands"],
        [],
    ),
    # --- letters that Unicode writes in two ways ---
    "one text in two forms": (
        csv("x,v,y", both(lambda i, z: f"{z:.3f},{CAFE[i % 2]},{'ab'[i % 3 % 2]}", 60)),
        "y",
        ["'v' is left out: has the one value 'caf"],
        [],
    ),
    "two texts, one of them in two forms": (
        csv(
            "x,v,y",
            both(lambda i, z: f"{z:.3f},{CAFE[i % 3]},{'ab'[i % 5 % 2]}", 60),
        ),
        "y --dry-run",
        [
            "category  2 categories, as 2 numbers",
            "'caf\u00e9': cells that write the same letters in several forms",
        ],
        [],
    ),
    # --- options that do nothing ---
    "the target is kept": (
        csv("x,y", both(lambda i, z: f"{E[i]:.3f},{z:.3f}", 60)),
        "y --keep y",
        ["note: --keep 'y': this is the target, and no column to learn from"],
        [],
    ),
    "days first, of no dates": (
        csv("x,d,y", both(lambda i, z: f"{E[i]:.3f},{month(i)},{z:.3f}", 60)),
        "y --day-first",
        ["note: --day-first: no column has dates whose day and month could change places"],
        [],
    ),
    # --- copies of the target ---
    "a rounded copy in another unit": (
        csv("f,b,y", both(lambda i, z: f"{20 + 18 * z:.1f},{E[i]:.2f},{-6.6667 + 10 * z:.2f}")),
        "y",
        ["column 'f': is nearly 'y' itself, in another unit: if it is not known beforehand, --drop 'f'"],
        ["left out"],
    ),
    "a column that nearly tells the target is kept": (
        csv("f,b,y", both(lambda i, z: f"{z + 0.02 * E[i]:.3f},{E[i]:.2f},{z:.3f}")),
        "y",
        ["2 columns as 2 numbers"],
        ["left out", "nearly"],
    ),
    # --- dates ---
    "days first, of which few tell it": (
        csv("d,y", both(lambda i, z: f"{13 if i % 12 == 0 else i % 12}/{1 + i % 7}/2020,{z:.3f}", 60)),
        "y --dry-run",
        ["date %d/%m/%Y"],
        ["missing", "month first"],
    ),
    "dashes that may be either": (
        csv("d,y", both(lambda i, z: f"{1 + i % 12}-{1 + i % 7}-2020,{z:.3f}", 60)),
        "y --dry-run",
        ["date %m-%d-%Y", "is read with the month first"],
        [],
    ),
    "dashes with the day first": (
        csv("d,y", both(lambda i, z: f"{1 + i % 12}-{1 + i % 7}-2020,{z:.3f}", 60)),
        "y --dry-run --day-first",
        ["date %d-%m-%Y", "is read with the day first"],
        ["could change places"],
    ),
    "one date in every row": (
        csv("d,x,y", both(lambda i, z: f"2020-01-01,{E[i]:.3f},{z:.3f}", 60)),
        "y --dry-run",
        ["has the one value '2020-01-01' in the training rows"],
        [],
    ),
    **{
        f"dates of the form {form}": (
            csv(
                "d,y",
                both(
                    lambda i, z, form=form: (
                        f"{datetime(2020, 1, 1) + timedelta(hours=31.5 * i):{form}},{z:.3f}"
                    )
                ),
            ),
            "y --dry-run",
            [f"date {form}, days since 1970"],
            ["missing", "read with"],
        )
        for form in (
            *("%d-%m-%Y %H:%M", "%d/%m/%Y %I:%M %p", "%d.%m.%Y %H:%M:%S", "%m/%d/%y %H:%M", "%d-%b-%Y %H:%M"),
            *("%b %d %Y", "%B %d %Y %H:%M", "%m/%d/%y %I:%M %p"),
        )
    },
    "dates without dashes": (
        csv("day,y", both(lambda i, z: f"{DAYS[i]:%Y%m%d},{z:.3f}")),
        "y",
        ["20200101 is read as a date"],
        [],
    ),
    "numbers that might be dates": (
        csv("day,y", both(lambda i, z: f"{20200101 + i},{z:.3f}")),
        "y",
        ["1 column as 1 number"],
        ["read as a date"],
    ),
    "a target of dates": (
        csv("x,y", both(lambda i, z: f"{z:.3f},{DAYS[i]}")),
        "y",
        ["or turn its dates into numbers first, such as days"],
        [],
    ),
    # --- lines that are no rows ---
    "joined files": (
        csv("x,y", [*both(lambda i, z: f"{z:.2f},{int(z > 0)}"), "x,y", "0.5,1"]),
        "y",
        ["401 rows", "skipped the header that stands again on line 402", "2 classes", "1 column as 1 number"],
        [],
    ),
    "joined files with a mark of byte order each": (
        "\ufeff" + csv("x,y", [*both(lambda i, z: f"{z:.2f},{int(z > 0)}"), "\ufeffx,y", "0.5,1"]),
        "y",
        ["401 rows", "skipped the header that stands again on line 402", "2 classes", "1 column as 1 number"],
        [],
    ),
    "joined files of texts": (
        csv("v,y", [*both(lambda i, z: f"{'uv'[i % 2]},{'ab'[i % 3 % 2]}"), "\ufeffv,y", "u,b"]),
        "y",
        [
            "401 rows",
            "skipped the header that stands again on line 402",
            "2 classes",
            "1 column as 2 numbers",
        ],
        [],
    ),
    "two marks of byte order": (
        "\ufeff\ufeff" + csv("x,y", both(lambda i, z: f"{z:.2f},{int(z > 0)}")),
        "y --dry-run",
        ["\nx       number"],
        [],
    ),
    "one empty row at the end": (
        csv("x,y", [*both(lambda i, z: f"{z:.2f},{int(z > 0)}"), ","]),
        "y",
        ["400 rows", "skipped 1 empty row at the end"],
        [],
    ),
    "a header that is also a value": (
        csv("x,y", both(lambda i, z: f"{'xab'[i % 3]},{'y' if z > 0 else 'n'}")),
        "y",
        ["skipped the header that stands again on lines"],
        [],
    ),
    "a table of Markdown": (
        csv("| x | y |\n|---|:--|", both(lambda i, z: f"| {z:.2f} | {int(z > 0)} |")),
        "y",
        ["400 rows", "skipped the header that stands again on line 2", "2 classes", "1 column as 1 number"],
        [],
    ),
    # --- other files ---
    "spaces between the cells": (
        csv("x y", both(lambda i, z: f"{z:.2f} {int(z > 0)}")),
        "y",
        ["it has the one column 'x y'", "the 2 columns 'x', 'y'", "sep=r'\\s+' for spaces"],
        [],
    ),
    "JSON": ('[{"x": 1, "y": 2}]', "y", ["a.csv is JSON, no CSV: write pandas.read_json(path)"], []),
    "a page": (
        "<!DOCTYPE html>\n<table></table>",
        "y",
        ["a page of HTML, no CSV: write pandas.read_html"],
        [],
    ),
    "a header longer than is looked at first": (
        csv(
            ",".join([*WIDE, "y"]),
            [",".join(["1"] * len(WIDE) + [str(i % 2)]) for i in range(12)],
        ),
        "y",
        ["no column is left to learn from", "has the one value 1"],
        ["fields where the header has"],
    ),
}
