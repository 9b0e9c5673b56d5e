"""Playbooks of CACAO 2.0 JSON, ours and those of others."""
