"""`python -m msq`: the same as the command `msq`."""

from controller.cli import main

main()
