"""Is this house ready for an incident? Pure: facts are gathered elsewhere; here they become findings and a score."""
