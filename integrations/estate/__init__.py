"""A simulated estate: hosts, accounts, a firewall and a message board behind HTTP, kept in a file."""
