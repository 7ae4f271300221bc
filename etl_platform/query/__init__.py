"""Reading without standing in the writer's way: SQL over the Parquet objects of the lake. See `docs/query.md`.

The warehouse file is neither opened nor copied, and nothing is locked.
"""

from etl_platform.query.ask import Answer, Lake, open_lake, query

__all__ = ["Answer", "Lake", "open_lake", "query"]
