"""The Snowflake emulator (fakesnow) as a process: `python -m etl_platform_tests.support.snowflake_server`.

It prints its port when it accepts connections and ends when its standard input does, so that a killed test run
leaves no server behind.

Belongs here: what the emulator must be taught so that the statements of a real account can be sent to it unchanged.
Each shim replaces something the emulator lacks. None is a proof about a real account: that is what the tests marked
`snowflake_account` are for.

1. An exception inside the emulator becomes error 9999. It answers HTTP 500 instead, which the connector
   repeats until its time-out: a missing feature would look like a hanging service.
2. A write conflict of DuckDB becomes error 625, the lock time-out. Snowflake lets the second writer wait for the
   lock row; DuckDB refuses it at once. The tests therefore see the shortest possible wait.
3. Statements about roles succeed without effect: the emulator knows no privileges.
4. Comments keep their apostrophes: the emulator does not escape them in its own statement.
5. DESCRIBE TABLE says TIMESTAMP_LTZ(6) and ARRAY: the emulator keeps such columns as TIMESTAMP_TZ(9) and VARIANT.
6. Missing timestamps stay missing: the emulator sends them as 1970-01-01.
7. The password "wrong" is refused with Snowflake's answer: the emulator asks for none.
"""

from __future__ import annotations

import gzip
import importlib
import json
import os
import socket
import sys
import threading
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import uvicorn
from fakesnow import arrow, info_schema
from fakesnow.cursor import FakeSnowflakeCursor
from snowflake.connector.errors import DatabaseError, ProgrammingError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

_WRONG_PASSWORD = "wrong"
_WITHOUT_EFFECT = [r"\s*USE\s+(SECONDARY\s+ROLES|ROLE)\b", r"\s*(CREATE|DROP)\s+ROLE\b", r"\s*GRANT\b"]
_AS_SNOWFLAKE_SAYS = {"TIMESTAMP_TZ(9)": "TIMESTAMP_LTZ(6)", "VARIANT": "ARRAY"}

# The package hides the module of this name behind a function.
_server = importlib.import_module("fakesnow.server")
_execute = FakeSnowflakeCursor.execute
_timestamp_to_sf_struct = arrow.timestamp_to_sf_struct
_insert_table_comment_sql = info_schema.insert_table_comment_sql


def _execute_like_snowflake(self: Any, command: str, *args: Any, **kwargs: Any) -> Any:
    try:
        cursor = _execute(self, command, *args, **kwargs)
    except DatabaseError:
        raise
    except duckdb.TransactionException as error:
        if "conflict" not in str(error).lower():
            raise ProgrammingError(msg=str(error), errno=9999, sqlstate="99999") from error
        message = "Statement was not able to get the lock: another transaction holds it"
        raise ProgrammingError(msg=message, errno=625, sqlstate="57014") from error
    except Exception as error:
        raise ProgrammingError(msg=f"{type(error).__name__}: {error}", errno=9999, sqlstate="99999") from error
    if command.lstrip().upper().startswith("DESCRIBE TABLE"):
        self._arrow_table = _described(self._arrow_table)
    return cursor


def _described(table: pa.Table) -> pa.Table:
    position = table.schema.get_field_index("type")
    types = table.column(position)
    for found, said in _AS_SNOWFLAKE_SAYS.items():
        types = pc.if_else(pc.equal(types, found), pa.scalar(said, types.type), types)
    return table.set_column(position, table.schema.field(position), types)


def _insert_comment(catalog: str, schema: str, table: str, comment: str | None) -> Any:
    return _insert_table_comment_sql(catalog, schema, table, (comment or "").replace("'", "''"))


def _timestamps(values: pa.ChunkedArray) -> pa.StructArray:
    whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    epoch = pa.scalar(0, pa.int64()).cast(whole.type)
    struct = _timestamp_to_sf_struct(pc.fill_null(whole, epoch))
    children = [struct.field(i) for i in range(struct.type.num_fields)]
    return pa.StructArray.from_arrays(children, fields=list(struct.type), mask=pc.is_null(whole))


async def _login(request: Request) -> Any:
    body = await request.body()
    plain = gzip.decompress(body) if request.headers.get("Content-Encoding") == "gzip" else body
    if json.loads(plain)["data"].get("PASSWORD") == _WRONG_PASSWORD:
        message = "Incorrect username or password was specified."
        return JSONResponse({"data": {}, "code": "390100", "message": message, "success": False})
    return await _server.login_request(request)


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    FakeSnowflakeCursor.execute = _execute_like_snowflake  # type: ignore[method-assign]
    arrow.timestamp_to_sf_struct = _timestamps  # type: ignore[assignment]
    info_schema.insert_table_comment_sql = _insert_comment
    _server.shared_fs.nop_regexes = _WITHOUT_EFFECT
    path = "/session/v1/login-request"
    others = [route for route in _server.routes if route.path != path]
    app = Starlette(routes=[Route(path, _login, methods=["POST"]), *others])
    listening = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_end_with_input, daemon=True).start()
    print(listening.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listening])


if __name__ == "__main__":
    main()
