"""How fast it is, beside what it replaces. Never shipped, never part of the tests: `make bench`."""
