"""``python -m model_repository``."""

import sys

from model_repository.cli import main

sys.exit(main())
