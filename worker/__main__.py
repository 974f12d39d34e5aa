"""`python -m worker`: be ready for a signal first, then see what is asked for."""

import sys

from worker.signals import Signals

if __name__ == "__main__":
    signals = Signals()
    from worker.cli import main

    sys.exit(main(sys.argv[1:], signals))
