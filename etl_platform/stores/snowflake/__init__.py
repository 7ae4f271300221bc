"""The Snowflake target of the warehouse.

`store.py` keeps the promise of `TableStore`; `account.py` opens sessions; `statements.py` and `roles.py` are SQL as
text; `schema.py` brings a stored table to its contract; `files.py` writes the Parquet files that `load.py` loads in
one transaction; `read.py` streams rows back; `errors.py` says what the service's refusals mean; `query_tag.py`, beside
this package, labels statements for the query history.
"""
