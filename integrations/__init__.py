"""Adapters: one vendor, one file, found by scanning this folder."""
