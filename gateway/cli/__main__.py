"""``python -m gateway.cli``: the command without its launcher."""

import sys

from gateway.cli import main

sys.exit(main())
