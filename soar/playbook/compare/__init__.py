"""Two versions of a playbook, compared."""
