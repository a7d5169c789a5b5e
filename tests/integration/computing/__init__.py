"""Computing elements, against the real servers."""
