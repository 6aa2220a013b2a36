"""`python -m emdpo` is the command `emdpo`."""

import sys

from emdpo.cli import main

sys.exit(main())
