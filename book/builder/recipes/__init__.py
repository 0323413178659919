"""Makers of the shipped checkpoints, one file a family. What each is made of says `clipkit.pretrain.recipes`; `makers` follows it."""
