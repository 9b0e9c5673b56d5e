"""What can be said of a playbook before it runs."""
