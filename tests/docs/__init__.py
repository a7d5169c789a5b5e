"""The documentation: it can be built, its links lead somewhere, its commands do what it says."""
