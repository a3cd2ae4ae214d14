"""Turn a command into one that has GPUs of its own: wait for free ones, hide all others, and become it.

python workflow/scripts/on_cards.py 2 torchrun --standalone --nproc-per-node 2 -- workflow/scripts/train.py ...
"""

import sys

from abovo.cluster.on_cards import main

if __name__ == "__main__":
    main(sys.argv[1:], __doc__)
