"""What a run will do and cost, before anything is spent.

In go a run's resolved settings; out comes results/plan/{run}/plan.json: parameters, tokens, steps, operations, bytes on
disk and in memory, and hours on the machines of config/hardware. Arithmetic alone: no network, no data, no heavy
import.
"""
