"""An extension as a VO writes it, and installing such packages; the tests are in `tests/integration`."""
