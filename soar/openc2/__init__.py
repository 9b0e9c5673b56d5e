"""OpenC2 Language Specification 1.0 both ways: commands, responses, and what they are in our verbs. Pure."""
