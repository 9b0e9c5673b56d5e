"""Playbooks in YAML, read and written."""
