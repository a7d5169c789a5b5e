"""The documentation; `reference` makes what is made from the code."""
