"""Runs that are kept: records of pages, and tables of a page run over a grid. Both need the notebooks, so a clone of the book."""
