"""The soak: thousands of operations with faults and cancellations, after which nothing is left.

``python -m tests.soak --help`` lists the options.
"""

import sys
from pathlib import Path

# pytest adds this directory through its configuration; ``python -m`` does not.
_EXAMPLES = str(Path(__file__).parents[2] / "examples")
if _EXAMPLES not in sys.path:
    sys.path.append(_EXAMPLES)
