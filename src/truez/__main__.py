"""``python -m truez`` and the command ``truez``."""

from truez.cli.stop import catch_signals


def main() -> None:
    """Run the command line; signals are caught before anything else is imported."""
    catch_signals()
    from truez.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
