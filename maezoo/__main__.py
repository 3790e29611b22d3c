"""`python -m maezoo` is `maezoo`."""

from maezoo.cli import main

if __name__ == "__main__":
    main()
