"""Playbooks as pictures."""
