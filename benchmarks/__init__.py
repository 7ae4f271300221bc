"""Measurements of the platform against references in the same run. Not shipped, not part of the tests.

Each script runs as `python -m benchmarks.<name>` and writes a page into `benchmarks/results/`. Needs the `test` and
`benchmark` extras; what a script compares with is named in its own docstring.
"""
