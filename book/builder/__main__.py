"""`python -m builder COMMAND`."""

from builder.cli import main

raise SystemExit(main())
