"""One file under reading: where it is, what it is called in messages, and its limits.

Belongs here: what every step of reading shares, above all how a refusal is worded. Not here: any format.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from etl_platform.errors import FileRefusedError
from etl_platform.readers.options import ReadLimits

ASK_SENDER = "ask the sender for a new delivery under the same name"
RAISE_LIMIT = "if the file is genuine, raise this limit for the institution; otherwise ask the sender"


@dataclass(frozen=True)
class Source:
    """path: the local copy; its name carries no meaning. subject: the landing object, as people know it.
    content: its bytes, where they are held in memory; then there may be no file at `path`."""

    path: Path
    subject: str
    limits: ReadLimits
    content: bytes | None = field(default=None, repr=False)

    def open(self) -> BinaryIO:
        """Its bytes, from the first on."""
        return self.path.open("rb") if self.content is None else io.BytesIO(self.content)

    def refusal(self, rule: str, found: str, expected: str, next_step: str = ASK_SENDER) -> FileRefusedError:
        """The error that refuses the whole file under `rule`; the caller raises it."""
        return FileRefusedError(self.subject, rule=rule, found=found, expected=expected, next_step=next_step)

    def beyond(self, found: str, expected: str) -> FileRefusedError:
        """The error that refuses the file because a limit is exceeded."""
        return self.refusal("file_is_within_limits", found, expected, RAISE_LIMIT)

    def empty(self, found: str = "no content") -> FileRefusedError:
        """The error that refuses a file in which nothing is."""
        return self.refusal("file_is_not_empty", found, "at least a header or one record")
