"""What a Space costs its visitors: a stated load on the local ZeroGPU, counted.

`zerokit bench` is its command; from Python it is `bench.run.measure` and `bench.figures.tiers`.
"""
