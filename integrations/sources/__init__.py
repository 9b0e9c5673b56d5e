"""Sources: what a SIEM posts, turned into alerts."""
