"""Every door: HTTP, worker, command line. The only package that builds the others."""
