"""`python -m zerokit` is `zerokit`."""

from zerokit.cli import main

main()
