"""Tasks for tests to run in real workers; each writes down what it did."""
