"""Remembers: vault, custody, transparency log, packages."""
