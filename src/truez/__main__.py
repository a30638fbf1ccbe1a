"""``python -m truez`` is the command ``truez``."""

from truez.cli.app import main

if __name__ == "__main__":
    main()
