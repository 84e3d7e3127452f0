"""The pace of the card and model that are stood in for: an 8 GB model in fp16 by transformers, as it comes."""

PARAMETERS = 4_000_000_000
LOADING_S = 4.0
"""From disk to the card."""
READ_S = 1 / 4_000
"""For each token of a prompt."""
TOKEN_S = 0.025
"""For each token of an answer."""
