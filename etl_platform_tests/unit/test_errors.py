from __future__ import annotations

import pickle

import pytest

from etl_platform.errors import ConfigurationError, EtlError, FileRefusedError


@pytest.mark.parametrize(
    "error",
    [
        ConfigurationError("file a field b", found="c", expected="d", next_step="e"),
        FileRefusedError("file a", rule="file_is_not_empty", found="0 bytes"),
    ],
)
def test_an_error_of_a_worker_process_arrives_whole(error: EtlError) -> None:
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert vars(arrived) == vars(error)


def test_a_message_names_the_thing_what_was_found_expected_and_the_next_step() -> None:
    error = ConfigurationError("file a field b", found="c", expected="d", next_step="e")
    assert str(error) == "file a field b: c; expected d; next step: e"
