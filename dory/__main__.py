"""python -m dory."""

import sys

from dory.cli.main import main

sys.exit(main())
