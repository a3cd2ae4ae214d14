"""Turn a command into the same command on each of several machines, as processes that find each other on the first.

python workflow/scripts/on_nodes.py --nodes 2 --processors 8 --gpus 4 \\
    torchrun --nnodes 2 --rdzv-backend c10d --nproc-per-node 4 -- workflow/scripts/train.py ...

In a job of SLURM its nodes are the machines, and srun starts the commands. Elsewhere the machines are those that
ABOVO_HOSTS names, and ssh starts them: names as ssh knows them, with commas between, of machines that see this folder
under the same path.
"""

import sys

from abovo.cluster.on_nodes import main

if __name__ == "__main__":
    main(sys.argv[1:], __doc__)
