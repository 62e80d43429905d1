"""The tables of other folders' tests are run here, too."""

import sys
from pathlib import Path

for room in ("nn", "optim"):  # which are also names of rooms: the tables are found without them
    sys.path.insert(0, str(Path(__file__).parent.parent / room))
