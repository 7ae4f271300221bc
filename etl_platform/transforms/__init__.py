"""Pure functions from frames to frames. No Dagster, no network; each has its own test."""
