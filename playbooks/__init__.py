"""Playbooks that ship with the product."""
