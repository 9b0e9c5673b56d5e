"""Playbooks: one model (CACAO 2.0), its notations and its checker."""
