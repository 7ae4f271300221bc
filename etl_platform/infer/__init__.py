"""A dataset declaration, proposed from a sample file."""
