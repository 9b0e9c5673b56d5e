"""Playbooks tried out without any system: mocked outcomes, simulated time, the real conductor."""
