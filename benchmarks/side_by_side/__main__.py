"""Command line of the side-by-side benchmark."""

from .command import main

if __name__ == "__main__":
    main()
