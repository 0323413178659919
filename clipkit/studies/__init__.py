"""Studies: one file a page, its arms, its loop and its own figures; imported by its notebook and its test, by nothing else."""
