"""``python -m gpuview``: the command line, where it is not on the path."""

import sys

from gpuview.cli import main

sys.exit(main())
