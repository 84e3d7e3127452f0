"""The widths at which the app `faulty` goes wrong or declares a fixed time, and how."""

STEPS = 4
BATCH = 40
"""More than one picture at a time is too much."""
DECODER = 48
"""So it is for the decoder."""
NEVER = 56
"""One is too much."""
NAN = 64
NAN_DECODER = 72
DIES = 80
"""As BATCH, and the worker is killed at the third picture."""
SMALL = 24
"""Never decoded in tiles."""
HASTY = 88
ROOMY = 96
DECLARED_S = {width: 30 for width in (BATCH, DECODER, NEVER, NAN, NAN_DECODER, DIES, SMALL, ROOMY)} | {HASTY: 4}
"""Seconds that are declared, whatever is learned; less where less is left."""
