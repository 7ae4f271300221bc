"""Landing files for tests, demos and benchmarks: plausible, seeded, with faults of every kind and a list of them."""
