"""``python -m batch_serving``."""

import sys

from batch_serving.cli import main

if __name__ == "__main__":
    sys.exit(main())
