"""Recipes: how each shipped checkpoint was made, one file a family, and the table that names them."""
