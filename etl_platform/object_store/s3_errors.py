"""What an answer of S3, or none, means: missing, refused, or worth another try.

Belongs here: the one mapping from botocore's exceptions to the platform's. Not here: retrying (`Retries`).
"""

from __future__ import annotations

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
)
from botocore.exceptions import ConnectionError as NoConnectionError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError as BrokenBodyError

from etl_platform.errors import EtlError, StorageError, StorageUnavailableError
from etl_platform.object_store.types import ObjectMissingError
from etl_platform.retries import retry_after_seconds

S3_ERRORS = (BotoCoreError, ClientError, ResponseParserError, BrokenBodyError)
"""Everything a call to S3 or a read of its answer raises."""

_NO_ANSWER = (
    HTTPClientError,
    NoConnectionError,
    IncompleteReadError,
    FlexibleChecksumError,
    ResponseParserError,
    BrokenBodyError,
)
_MISSING = {"NoSuchKey", "NoSuchVersion"}
_MAY_PASS = {
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "InternalError",
    "ServiceUnavailable",
    "RequestTimeout",  # comes with status 400
    "IncompleteBody",
    "BadDigest",
    "NoSuchUpload",  # the answer to a completed upload was lost: the whole upload can be sent again
}
_NOT_IMPLEMENTED = 501
_NEXT_STEPS = {
    "InvalidAccessKeyId": "correct the access key",
    "SignatureDoesNotMatch": "correct the secret access key; check the machine's clock",
    "ExpiredToken": "get a new session token",
    "RequestTimeTooSkewed": "correct the machine's clock",
    "NoSuchBucket": "correct the bucket's name or the endpoint",
    "PermanentRedirect": "set the region of the bucket",
    "AuthorizationHeaderMalformed": "set the region of the bucket",
    "InvalidObjectState": "restore the object from its archive class first",
    "EntityTooLarge": "split the file",
    "KeyTooLongError": "shorten the key to 1,024 bytes",
}


def explain(subject: str, error: Exception) -> EtlError:
    """The platform's error for one of S3_ERRORS about `subject`."""
    if isinstance(error, ClientError):
        return _refused(subject, error)
    found = f"{type(error).__name__}: {error}"
    if "CERTIFICATE_VERIFY_FAILED" in found:
        return StorageError(subject, found=found, next_step="trust the endpoint's certificate authority")
    if isinstance(error, _NO_ANSWER):
        return StorageUnavailableError(
            subject, found=found, expected="an answer of S3", next_step="check endpoint and network, then run again"
        )
    if isinstance(error, NoCredentialsError | PartialCredentialsError | CredentialRetrievalError):
        return StorageError(
            subject, found=found, next_step="set access_key_id and secret_access_key, a profile or a role"
        )
    return StorageError(subject, found=found, next_step="correct the request or the S3 settings")


def _refused(subject: str, error: ClientError) -> EtlError:
    answer = error.response.get("Error", {})
    code = answer.get("Code", "unknown")
    metadata = error.response.get("ResponseMetadata", {})
    status = metadata.get("HTTPStatusCode", 0)
    found = f"S3 answered {status} {code}: {answer.get('Message', 'no message')}"
    if code in _MAY_PASS or status == 429 or (status >= 500 and status != _NOT_IMPLEMENTED):
        retry_after = retry_after_seconds(metadata.get("HTTPHeaders", {}).get("retry-after"))
        return StorageUnavailableError(
            subject, found=found, next_step="run again when S3 has recovered", retry_after=retry_after
        )
    # A HEAD has no body, so its error code is the bare status.
    if code in _MISSING or code == "404":
        return ObjectMissingError(subject, found=found, next_step="list the store; it may have been removed")
    denied = "allow s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket there for these credentials"
    return StorageError(
        subject, found=found, next_step=_NEXT_STEPS.get(code, denied if status in {401, 403} else "see S3's message")
    )
