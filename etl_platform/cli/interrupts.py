"""Ctrl-C and SIGTERM: they are meant for the command, also during a run that Dagster executes in this process."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click

from etl_platform.limits import SIGNALS_AT_ONCE

_STOPPING = {signal.SIGINT, signal.SIGTERM}
ENDED = 130
"""Exit status of a command that was interrupted."""


class Interrupted(click.ClickException):
    """A command that loads was interrupted: in one line."""

    exit_code = ENDED

    def __init__(self) -> None:
        super().__init__("interrupted; what is not finished is loaded by the next `etl-platform run`")

    def show(self, file: object = None) -> None:
        """On standard error, as it is: nothing was wrong."""
        click.echo(self.message, err=True)


@contextmanager
def sigterm_is_ctrl_c() -> Iterator[None]:
    """Whoever stops the command by SIGTERM, as supervisors do, gets the same end as by Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def not_swallowed() -> Iterator[None]:
    """Raises KeyboardInterrupt behind the block when a signal came meanwhile that is to stop the process.

    Dagster makes it the failure of the one run, or, behind its last step, of nothing: what it says of the run does not
    tell. The signals themselves do.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    came = b""
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        with suppress(BlockingIOError):
            came = os.read(reader, SIGNALS_AT_ONCE)
        os.close(reader)
        os.close(writer)
    if _STOPPING & set(came):
        raise KeyboardInterrupt


def end_quietly() -> None:
    """An interrupt between two runs ends this process without a traceback: its parent says what there is to say."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(ENDED))
