"""`python -m ase_phonax` is `ase-phonax`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
