"""`python -m bot` is `unlatch`."""

import sys

from bot.cli import main

sys.exit(main())
