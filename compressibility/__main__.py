"""``python -m compressibility``: the command line."""

from compressibility.cli import main

if __name__ == "__main__":
    main()
