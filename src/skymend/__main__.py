"""``python -m skymend``."""

from skymend.cli import main

main()
