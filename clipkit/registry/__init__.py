"""The registry: papers and their claims, the verdict rule, the statistics under it, and the records of what was measured."""
