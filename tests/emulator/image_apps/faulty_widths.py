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
HASTY, HASTY_S = 88, 2
"""So many seconds are declared, whatever is asked."""
ROOMY, ROOMY_S = 96, 20
