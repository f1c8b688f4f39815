"""``python -m talkwire`` is the ``talkwire`` command."""

import sys

from ._cli import main

sys.exit(main())
