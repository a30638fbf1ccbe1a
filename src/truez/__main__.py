"""``python -m truez`` and the command ``truez``."""

from truez.cli.process import prepare_process


def main() -> None:
    """Run the command line; the process is prepared first."""
    prepare_process()
    from truez.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
