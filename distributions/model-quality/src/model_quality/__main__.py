import sys

from model_quality.cli import main

sys.exit(main())
