"""Runs playbooks: the conductor says what comes next, the runner does it."""
