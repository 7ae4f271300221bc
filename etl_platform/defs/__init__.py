"""Wiring only: pure functions and stores become assets, checks, sensors, jobs."""
