"""The sink's S3: from a request to an answer. Rules of docs.aws.amazon.com/AmazonS3/latest/API."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

from bench.sink_faults import Faults
from bench.sink_store import Body, Forgotten, Piece, Store, Stored, Upload

CRC32C = b"x-amz-checksum-crc32c"
READ_BYTES = 256 * 1024
KEPT = (b"content-type", b"content-encoding", b"cache-control", b"content-disposition")
Headers = list[tuple[bytes, bytes]]


@dataclass(slots=True)
class SinkRequest:
    """One request, whole."""

    method: str
    bucket: str
    key: str
    query: dict[str, str]
    headers: dict[bytes, bytes]
    body: Body


@dataclass(slots=True)
class Answer:
    """Status, headers, and a body of `size` bytes."""

    status: int = 200
    headers: Headers = field(default_factory=list)
    size: int = 0
    chunks: Iterable[bytes] = ()


def xml(text: str, status: int = 200) -> Answer:
    """An XML document."""
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()
    return Answer(status, [(b"content-type", b"application/xml")], len(body), [body])


def refused(status: int, code: str, message: str = "") -> Answer:
    """An error as S3 words it."""
    return xml(f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>", status)


def unchunk(body: Body, folder: Path | None) -> Body:
    """An aws-chunked body without its frames. Only what fits in memory is ever sent so."""
    data, plain = body.small(), Body(folder)
    while data:
        head, _, rest = data.partition(b"\r\n")
        size = int(head.partition(b";")[0], 16)
        if not size:
            break
        plain.feed(rest[:size])
        data = rest[size + 2 :]
    return plain


class Service:
    """Answers requests out of a store."""

    def __init__(self, store: Store, faults: Faults) -> None:
        self.store = store
        self.faults = faults
        self.requests: Counter[str] = Counter()
        self.bytes_in = 0

    def answer(self, request: SinkRequest) -> Answer | None:
        """The answer; None: the connection is to be cut."""
        if request.bucket == "_control":
            return self._control(request)
        self.requests[request.method] += 1
        self.bytes_in += request.body.size
        if self.faults.fires("cut"):
            return None
        if self.faults.fires("errors"):
            return refused(503, "SlowDown", "Please reduce your request rate.")
        if not request.key:
            return self._on_bucket(request)
        act = {
            "PUT": self._put,
            "POST": self._post,
            "GET": self._get,
            "HEAD": self._get,
            "DELETE": self._delete,
        }.get(request.method)
        return act(request) if act else refused(405, "MethodNotAllowed")

    # Objects

    def _put(self, request: SinkRequest) -> Answer:
        if b"x-amz-copy-source" in request.headers:
            return self._copy(request)
        if wrong := _wrong_digest(request):
            return wrong
        digest, piece = request.body.digest(), request.body.piece()
        spoiled = self._spoiled(piece)
        if spoiled is not None:
            piece, honest = spoiled
            digest = hashlib.md5(piece, usedforsecurity=False).digest() if honest else digest
        etag = b'"%s"' % digest.hex().encode()
        upload_id = request.query.get("uploadId")
        if upload_id is None:
            meta = _meta(request.headers)
            stored = Stored((piece,), request.body.size, digest.hex(), meta)
            self.store.put(request.bucket, request.key, stored)
            return Answer(200, [(b"etag", etag)])
        upload = self.store.uploads.get(upload_id)
        if upload is None:
            return refused(404, "NoSuchUpload")
        number, told = int(request.query["partNumber"]), request.headers.get(CRC32C)
        if upload.with_crc32c != (told is not None):
            return refused(400, "InvalidRequest", "Checksum Type mismatch occurred.")
        upload.parts[number] = (digest, piece, request.body.size)
        if told is None:
            return Answer(200, [(b"etag", etag)])
        upload.crc32c[number] = told.decode()
        return Answer(200, [(b"etag", etag), (CRC32C, told)])

    def _spoiled(self, piece: Piece) -> tuple[bytes, bool] | None:
        """Other bytes to store, and whether the ETag tells; None: no fault."""
        if not isinstance(piece, bytes):
            return None
        if self.faults.fires("corrupt_put"):
            return self.faults.flip(piece), True
        if self.faults.fires("rot"):
            return self.faults.rot(piece), False
        return None

    def _copy(self, request: SinkRequest) -> Answer:
        source = unquote(request.headers[b"x-amz-copy-source"].decode()).lstrip("/")
        bucket, _, key = source.partition("?")[0].partition("/")
        found = self.store.bucket(bucket).get(key)
        if found is None:
            return refused(404, "NoSuchKey")
        if "uploadId" in request.query:
            return self._copy_part(request, found)
        replaces = request.headers.get(b"x-amz-metadata-directive", b"").upper() == b"REPLACE"
        meta = _meta(request.headers) if replaces else found.meta
        copied = replace(found, meta=meta, modified=datetime.now(UTC).timestamp())
        self.store.put(request.bucket, request.key, copied)
        return xml(
            f"<CopyObjectResult><ETag>&quot;{found.etag}&quot;</ETag>"
            f"<LastModified>{_iso(copied.modified)}</LastModified></CopyObjectResult>"
        )

    def _copy_part(self, request: SinkRequest, found: Stored) -> Answer:
        upload = self.store.uploads.get(request.query["uploadId"])
        if upload is None:
            return refused(404, "NoSuchUpload")
        first, last = _range(request.headers.get(b"x-amz-copy-source-range", b""), found.size)
        body = Body(None)
        data = b"".join(_read(found.pieces, first, last + 1 - first))
        body.feed(data)
        upload.parts[int(request.query["partNumber"])] = (body.digest(), data, len(data))
        etag = body.digest().hex()
        return xml(f"<CopyPartResult><ETag>&quot;{etag}&quot;</ETag></CopyPartResult>")

    def _post(self, request: SinkRequest) -> Answer:
        if "uploads" in request.query:
            upload_id = uuid.uuid4().hex
            by_crc32c = request.headers.get(b"x-amz-checksum-algorithm", b"").upper() == b"CRC32C"
            self.store.uploads[upload_id] = Upload(
                request.bucket, request.key, _meta(request.headers), with_crc32c=by_crc32c
            )
            return xml(
                f"<InitiateMultipartUploadResult><Bucket>{request.bucket}</Bucket>"
                f"<Key>{escape(request.key)}</Key><UploadId>{upload_id}</UploadId>"
                "</InitiateMultipartUploadResult>"
            )
        upload_id = request.query.get("uploadId", "")
        upload = self.store.uploads.get(upload_id)
        if upload is None:
            return refused(404, "NoSuchUpload")
        wanted = re.findall(rb"<PartNumber>(\d+)</PartNumber>", request.body.small())
        if not {int(n) for n in wanted} <= set(upload.parts):
            return refused(400, "InvalidPart")
        named = re.findall(rb"<ChecksumCRC32C>(.*?)</ChecksumCRC32C>", request.body.small())
        if upload.with_crc32c and [c.decode() for c in named] != [
            upload.crc32c[int(n)] for n in wanted
        ]:
            return refused(400, "InvalidPart", "The CRC32C of each part must be named.")
        upload.parts = {int(n): upload.parts[int(n)] for n in wanted}
        stored = self.store.complete(upload_id)
        assert stored is not None
        return xml(
            f"<CompleteMultipartUploadResult><Key>{escape(request.key)}</Key>"
            f"<ETag>&quot;{stored.etag}&quot;</ETag></CompleteMultipartUploadResult>"
        )

    def _get(self, request: SinkRequest) -> Answer:
        if "uploadId" in request.query:
            return self._parts(request)
        found = self.store.bucket(request.bucket).get(request.key)
        if found is None:
            return refused(404, "NoSuchKey")
        if request.method == "GET" and any(isinstance(p, Forgotten) for p in found.pieces):
            return refused(410, "Forgotten", "This sink was told to drop big bodies.")
        headers: Headers = [
            (b"etag", b'"%s"' % found.etag.encode()),
            (b"last-modified", formatdate(found.modified, usegmt=True).encode()),
            (b"accept-ranges", b"bytes"),
            *found.meta,
        ]
        first, last, status = 0, found.size - 1, 200
        if wanted := request.headers.get(b"range"):
            first, last = _range(wanted, found.size)
            status = 206
            headers.append((b"content-range", b"bytes %d-%d/%d" % (first, last, found.size)))
        chunks: Iterable[bytes] = _read(found.pieces, first, last + 1 - first)
        if request.method == "GET" and self.faults.fires("corrupt_get"):
            chunks = [self.faults.flip(chunk) for chunk in chunks]
        return Answer(status, headers, last + 1 - first, chunks)

    def _delete(self, request: SinkRequest) -> Answer:
        if "uploadId" in request.query:
            gone = self.store.uploads.pop(request.query["uploadId"], None)
            return Answer(204) if gone else refused(404, "NoSuchUpload")
        self.store.drop(request.bucket, request.key)
        return Answer(204)

    def _parts(self, request: SinkRequest) -> Answer:
        upload = self.store.uploads.get(request.query["uploadId"])
        if upload is None:
            return refused(404, "NoSuchUpload")
        listed = "".join(
            f"<Part><PartNumber>{n}</PartNumber><ETag>&quot;{md5.hex()}&quot;</ETag>"
            f"<Size>{size}</Size><LastModified>{_iso(upload.started)}</LastModified>"
            f"<ChecksumCRC32C>{upload.crc32c.get(n, '')}</ChecksumCRC32C></Part>"
            for n, (md5, _, size) in sorted(upload.parts.items())
        )
        algorithm = "<ChecksumAlgorithm>CRC32C</ChecksumAlgorithm>" * upload.with_crc32c
        return xml(
            f"<ListPartsResult><IsTruncated>false</IsTruncated>{algorithm}{listed}"
            "</ListPartsResult>"
        )

    # Buckets

    def _on_bucket(self, request: SinkRequest) -> Answer:
        query = request.query
        if request.method in ("PUT", "HEAD"):
            self.store.bucket(request.bucket)
            return Answer(200)
        if request.method == "POST" and "delete" in query:
            for key in re.findall(rb"<Key>(.*?)</Key>", request.body.small(), re.DOTALL):
                self.store.drop(request.bucket, key.decode())
            return xml("<DeleteResult/>")
        if request.method != "GET":
            return refused(405, "MethodNotAllowed")
        if "versioning" in query:
            return xml("<VersioningConfiguration/>")
        if "location" in query:
            return xml("<LocationConstraint/>")
        if "uploads" in query:
            return self._list_uploads(request)
        unknown = set(query) & {"acl", "policy", "lifecycle", "object-lock", "encryption"}
        if unknown or "publicAccessBlock" in query:
            return refused(501, "NotImplemented")
        return self._list(request)

    def _list(self, request: SinkRequest) -> Answer:
        query = request.query
        token = bytes.fromhex(query.get("continuation-token", "")).decode()
        after = token or query.get("start-after") or query.get("marker")
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        limit = min(int(query.get("max-keys", 1000)), 1000)
        found, folders, more = self.store.page(
            request.bucket, prefix, delimiter, after or "", limit
        )
        coded = quote if query.get("encoding-type") == "url" else escape
        rows = [
            f"<Contents><Key>{coded(key)}</Key><LastModified>{_iso(one.modified)}</LastModified>"
            f"<ETag>&quot;{one.etag}&quot;</ETag><Size>{one.size}</Size>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
            for key, one in found
        ]
        rows += [f"<CommonPrefixes><Prefix>{coded(f)}</Prefix></CommonPrefixes>" for f in folders]
        if more:
            token = more.encode().hex()
            rows += [f"<NextContinuationToken>{token}</NextContinuationToken>"]
            rows += [f"<NextMarker>{coded(more)}</NextMarker>"]
        coding = "<EncodingType>url</EncodingType>" if coded is quote else ""
        return xml(
            f"<ListBucketResult><Name>{request.bucket}</Name><Prefix>{coded(prefix)}</Prefix>"
            f"<KeyCount>{len(found) + len(folders)}</KeyCount><MaxKeys>{limit}</MaxKeys>{coding}"
            f"<IsTruncated>{str(bool(more)).lower()}</IsTruncated>{''.join(rows)}"
            "</ListBucketResult>"
        )

    def _list_uploads(self, request: SinkRequest) -> Answer:
        prefix = request.query.get("prefix", "")
        rows = "".join(
            f"<Upload><Key>{escape(one.key)}</Key><UploadId>{upload_id}</UploadId>"
            f"<Initiated>{_iso(one.started)}</Initiated></Upload>"
            for upload_id, one in self.store.uploads.items()
            if one.bucket == request.bucket and one.key.startswith(prefix)
        )
        return xml(
            f"<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>{rows}"
            "</ListMultipartUploadsResult>"
        )

    def _control(self, request: SinkRequest) -> Answer:
        if request.method == "POST":
            self.faults.set(json.loads(request.body.small()))
        said: dict[str, Any] = {
            "requests": dict(self.requests),
            "bytes_in": self.bytes_in,
            "fired": dict(self.faults.fired),
            "rotted": self.faults.rotted,
            "uploads": len(self.store.uploads),
        }
        body = json.dumps(said).encode()
        if request.method == "DELETE":
            self.requests.clear()
            self.bytes_in = 0
        return Answer(200, [(b"content-type", b"application/json")], len(body), [body])


def _wrong_digest(request: SinkRequest) -> Answer | None:
    said = request.headers.get(b"content-md5")
    if said and base64.b64decode(said) != request.body.digest():
        return refused(400, "BadDigest", "The Content-MD5 is not that of the body.")
    told, counted = request.headers.get(CRC32C), request.body.crc32c
    if told is not None and base64.b64decode(told) != (counted or 0).to_bytes(4, "big"):
        return refused(400, "BadDigest", "The CRC32C is not that of the body.")
    return None


def _meta(headers: dict[bytes, bytes]) -> tuple[tuple[bytes, bytes], ...]:
    kept = [(n, v) for n, v in headers.items() if n.startswith(b"x-amz-meta-") or n in KEPT]
    return tuple((n, v.replace(b"aws-chunked", b"")) for n, v in kept if v != b"aws-chunked")


def _range(wanted: bytes, size: int) -> tuple[int, int]:
    match = re.fullmatch(rb"bytes=(\d*)-(\d*)", wanted.strip())
    first, last = (match[1], match[2]) if match else (b"0", b"")
    if not first:
        return max(size - int(last), 0), size - 1
    return int(first), min(int(last), size - 1) if last else size - 1


def _read(pieces: tuple[Piece, ...], first: int, count: int) -> Iterator[bytes]:
    """`count` bytes from `first` on, in chunks."""
    for piece in pieces:
        if count <= 0:
            return
        size = piece.stat().st_size if isinstance(piece, Path) else _size(piece)
        if first >= size:
            first -= size
            continue
        take = min(size - first, count)
        if isinstance(piece, bytes):
            yield piece[first : first + take]
        elif isinstance(piece, Path):
            yield from _read_file(piece, first, take)
        first, count = 0, count - take


def _size(piece: bytes | Forgotten) -> int:
    return len(piece) if isinstance(piece, bytes) else piece.size


def _read_file(path: Path, first: int, count: int) -> Iterator[bytes]:
    with path.open("rb") as stream:
        stream.seek(first)
        while count and (chunk := stream.read(min(READ_BYTES, count))):
            count -= len(chunk)
            yield chunk


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
