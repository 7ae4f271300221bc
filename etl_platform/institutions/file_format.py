"""What an institution's configuration and a landing key say about one file, in the words of the transforms."""

from __future__ import annotations

from collections.abc import Mapping

from etl_platform.institutions.model import Institution
from etl_platform.transforms.casts import Dialect
from etl_platform.transforms.normalise import SenderFormat


def sender_format(institution: Institution, dataset: str, captured: Mapping[str, str]) -> SenderFormat:
    """How to map a file of `institution` to the contract; `captured` are the names its key pattern caught."""
    config = institution.datasets[dataset]
    from_key = {column: captured[name] for column, name in config.columns_from_key.items()}
    return SenderFormat(
        dialect=Dialect(
            decimal=config.numbers.decimal,
            thousands=config.numbers.thousands,
            datetime_formats=config.times.formats,
            date_formats=config.times.date_formats,
            time_zone=config.times.time_zone or institution.time_zone,
        ),
        columns=config.columns,
        supplied={**config.constants, **from_key},
        null_texts=config.null_texts,
    )
