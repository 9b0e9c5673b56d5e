"""Drills: is this house ready? Against the configured estate (reads only), or in a lab of its own."""
