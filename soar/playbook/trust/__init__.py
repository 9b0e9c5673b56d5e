"""Whose word a playbook has, and what may leave the house."""
