"""Tasks that the benchmark of the engine measures."""
