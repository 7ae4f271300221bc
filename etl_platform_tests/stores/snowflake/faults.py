"""Faults at the connector's `execute`: an answer that is lost, a statement that never arrives, a wrong result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Fault = Callable[[Callable[[], Any]], Any]
"""Takes what would send the statement; sends it or not, answers or raises."""


def lose_answer(send: Callable[[], Any]) -> Any:
    """The statement is carried out, but its answer never comes."""
    send()
    raise _no_answer()


def lose_statement(send: Callable[[], Any]) -> Any:
    """The statement never arrives."""
    raise _no_answer()


def break_at(monkeypatch: pytest.MonkeyPatch, beginning: str, fault: Fault, *, times: int = 1) -> list[str]:
    """Let the first `times` statements with this beginning meet `fault`. Gives a list that names those that did."""
    from snowflake.connector.cursor import SnowflakeCursor

    execute = SnowflakeCursor.execute
    met: list[str] = []

    def perhaps(self: Any, command: str, *args: Any, **kwargs: Any) -> Any:
        if not command.startswith(beginning) or len(met) >= times:
            return execute(self, command, *args, **kwargs)
        met.append(command)
        return fault(lambda: execute(self, command, *args, **kwargs))

    monkeypatch.setattr(SnowflakeCursor, "execute", perhaps)
    return met


def _no_answer() -> Exception:
    from snowflake.connector.errors import OperationalError

    return OperationalError(msg="Failed to execute request: connection reset by peer", errno=250_003)
