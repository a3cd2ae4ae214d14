"""Turns what SLURM says of its nodes, its queue and this job into what the workflow does about it."""
