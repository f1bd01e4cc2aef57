"""What a verdict costs: on a hit, on a miss, by the number of names; and what the names cost.

`python -m benchmarks.lookup` runs it; `benchmarks/README.md` tells the method.
"""
