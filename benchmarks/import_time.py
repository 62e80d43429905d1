"""How long `import tapegrad` takes, beside `import numpy`, which it cannot do without: each in new processes, many
times in turn, in CPU time and without Python's own start.
"""

from benchmarks.harness import Case, Contestant, Promise

CODE = """import json, time
start = time.process_time()
import MODULE
print(json.dumps(dict(ms=(time.process_time() - start) * 1e3)))
"""

CASES = (
    Case(
        title="Import, one core",
        contestants=tuple(
            Contestant(f"import {name}", ("-c", CODE.replace("MODULE", name)), name)
            for name in ("tapegrad", "numpy")
        ),
        columns={"ms": "ms", "wall": "whole process, s"},
        promises=(Promise("ms", "import tapegrad", "import numpy", 1.4),),
        cores=1,
        rounds=40,
    ),
)
