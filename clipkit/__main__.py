"""`python -m clipkit` is `clipkit`."""

from clipkit.press.cli import main

raise SystemExit(main())
