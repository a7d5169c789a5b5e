"""The kinds of computing elements, one a file; `diracx_tasks.pilots.elements` makes them."""
