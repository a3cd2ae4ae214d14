"""abovo: small language models from raw text to an evaluated, instruction-tuned model.

One folder per stage; a module imports only from folders that stand on a floor below its own
(tests/test_house_floors.py).
"""

import os

__version__ = "0.1.0"

# OpenMP workers that spin while they wait take the cores of everybody else; this must be set before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
