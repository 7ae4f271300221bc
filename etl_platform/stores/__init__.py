"""Where tables are kept: the lake, DuckDB, Postgres and Snowflake keep one promise (`store.py`)."""
