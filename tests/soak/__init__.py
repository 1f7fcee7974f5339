"""The soak: thousands of operations with faults and cancellations, after which nothing is left.

``python -m tests.soak --help`` shows how to run it by hand.
"""

import sys
from pathlib import Path

# Where the tests find it through pytest's configuration.
_EXAMPLES = str(Path(__file__).parents[2] / "examples")
if _EXAMPLES not in sys.path:
    sys.path.append(_EXAMPLES)
