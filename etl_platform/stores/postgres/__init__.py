"""The Postgres warehouse. `store.py` is the way in; each other module answers one question about it."""
