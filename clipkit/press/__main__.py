"""`python -m clipkit.press` is `clipkit`."""

from clipkit.press.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
