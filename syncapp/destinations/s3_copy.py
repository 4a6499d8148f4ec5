"""Copy objects beyond 5 GB within a bucket, in ranges that the store copies itself.

CopyObject takes no more (docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html). Moves no
byte through here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from syncapp.errors import PermanentError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, CopySourceTypeDef

RANGE_BYTES = 256 * 1024**2


def copy_in_parts(
    client: S3Client, source: CopySourceTypeDef, size: int, request: dict[str, Any], max_parts: int
) -> None:
    """Copy `source` to where `request` (of CreateMultipartUpload) says; botocore's errors."""
    upload = client.create_multipart_upload(**request)
    about: dict[str, Any] = {
        "Bucket": request["Bucket"],
        "Key": request["Key"],
        "UploadId": upload["UploadId"],
    }
    step = max(RANGE_BYTES, -(-size // max_parts))
    parts: list[CompletedPartTypeDef] = []
    try:
        for number, start in enumerate(range(0, size, step), 1):
            end = min(start + step, size) - 1
            answer = client.upload_part_copy(
                **about,
                CopySource=source,
                CopySourceRange=f"bytes={start}-{end}",
                PartNumber=number,
            )
            etag = answer.get("CopyPartResult", {}).get("ETag", "")
            if not etag:
                # rclone's server takes the call for an empty part.
                raise PermanentError(
                    f"The service of “{request['Bucket']}” can't copy objects beyond 5 GB.",
                    code="not_supported",
                )
            parts.append({"PartNumber": number, "ETag": etag})
        client.complete_multipart_upload(**about, MultipartUpload={"Parts": parts})
    except (BotoCoreError, ClientError, PermanentError):
        client.abort_multipart_upload(**about)
        raise
