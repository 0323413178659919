"""What builds the site and serves developers of the book; it stays in the repository, `clipkit` is what is installed."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
