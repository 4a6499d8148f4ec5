"""S3-compatible services as data: where they are, what they allow, how they differ.

No behaviour beyond filling a template, no network. A new service is one entry of `PROVIDERS`.
Sources: each service's own endpoint and limits page; `check` of a destination finds out what a
page does not say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from syncapp.types import Limits

NOT_CONFIRMED = "not confirmed"


@dataclass(frozen=True, slots=True)
class Region:
    """One place of a service. `in_eu`: whether the bytes lie in the European Union."""

    name: str
    label: str
    in_eu: bool = True


@dataclass(frozen=True, slots=True)
class Prices:
    """What reading costs, in `currency` a GB (10^9 bytes), before tax and free allowances.

    `egress` for bytes that leave for the internet, `retrieval` on top by storage class. List
    prices change: an estimate names them as such, and says "about" where `confirmed` (the month in
    which a source for them was last read) is "not confirmed".
    """

    egress: float = 0.0
    currency: str = "EUR"
    retrieval: Mapping[str, float] = field(default_factory=dict)
    confirmed: str = NOT_CONFIRMED

    @property
    def is_confirmed(self) -> bool:
        """Whether a source for them was found."""
        return self.confirmed != NOT_CONFIRMED

    def per_gb(self, storage_class: str = "") -> float:
        """All in all, of an object in this class."""
        return self.egress + self.retrieval.get(storage_class, 0.0)


OWN_HARDWARE = Prices(confirmed="own")


@dataclass(frozen=True, slots=True)
class Provider:
    """One S3-compatible service.

    `endpoint` has `{region}` in it, "" where a person must give it. `etag_is_md5`: an object
    sent in one call has its MD5 as ETag (encryption with KMS keys aside). `checksum` is what
    checksum mode "auto" stands for: "sha256" only where x-amz-checksum-sha256 is known to be
    verified by the service; `crc32c`: x-amz-checksum-crc32c is known to be, of parts; of others a
    test of the destination finds it out. `data_plane` is what sends bytes where that is "auto":
    "lean" (s3_wire.py), or "boto3" for a service that has trouble with it.
    """

    label: str
    endpoint: str = ""
    regions: tuple[Region, ...] = ()
    path_style: bool = False
    limits: Limits = field(default_factory=Limits)
    checksum: str = "md5"
    crc32c: bool = False
    data_plane: str = "lean"
    storage_classes: tuple[str, ...] = ("STANDARD",)
    sse: tuple[str, ...] = ()
    etag_is_md5: bool = True
    ambient_keys: bool = False
    prices: Prices | None = None  # None: not known
    notes: str = ""

    def endpoint_for(self, region: str) -> str:
        """The address of the service in a region, "" if it has none of its own."""
        return self.endpoint.format(region=region)


_GLACIER_NOTE = (
    "Objects in classes that must be restored before reading can't be verified by reading back; "
    "none of those is offered. Use a lifecycle rule to archive old versions."
)

PROVIDERS: dict[str, Provider] = {
    "aws": Provider(
        label="Amazon S3",
        endpoint="https://s3.{region}.amazonaws.com",
        regions=(
            Region("eu-central-1", "Frankfurt"),
            Region("eu-west-1", "Ireland"),
            Region("eu-west-3", "Paris"),
            Region("eu-north-1", "Stockholm"),
            Region("eu-south-1", "Milan"),
            Region("eu-south-2", "Spain"),
            Region("eu-west-2", "London", in_eu=False),
            Region("eu-central-2", "Zürich", in_eu=False),
            Region("us-east-1", "N. Virginia", in_eu=False),
            Region("us-east-2", "Ohio", in_eu=False),
            Region("us-west-1", "N. California", in_eu=False),
            Region("us-west-2", "Oregon", in_eu=False),
            Region("ca-central-1", "Canada", in_eu=False),
            Region("sa-east-1", "São Paulo", in_eu=False),
            Region("ap-south-1", "Mumbai", in_eu=False),
            Region("ap-southeast-1", "Singapore", in_eu=False),
            Region("ap-southeast-2", "Sydney", in_eu=False),
            Region("ap-northeast-1", "Tokyo", in_eu=False),
        ),
        checksum="sha256",
        crc32c=True,  # docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
        storage_classes=(
            "INTELLIGENT_TIERING",
            "STANDARD",
            "STANDARD_IA",
            "ONEZONE_IA",
            "GLACIER_IR",
        ),
        sse=("AES256", "aws:kms"),
        ambient_keys=True,
        # Egress: the first 10 TB a month, after 100 GB that are free (aws.amazon.com/s3/pricing as
        # of 2026-09; about 8 EUR for 100 GB from Frankfurt, resistro.org/blog/hetzner-vs-aws-s3,
        # 2026-04). Retrieval, "Standard": usage.ai's guide to Glacier pricing, 2026-06 (list of
        # N. Virginia; Europe's may differ), GLACIER also repost.aws, "s3-manage-data-retrieval".
        prices=Prices(
            egress=0.09,
            currency="USD",
            retrieval={
                "STANDARD_IA": 0.01,
                "ONEZONE_IA": 0.01,
                "GLACIER_IR": 0.03,
                "GLACIER": 0.01,
                "DEEP_ARCHIVE": 0.02,
            },
            confirmed="2026-06",
        ),
        notes=_GLACIER_NOTE,
    ),
    "scaleway": Provider(
        label="Scaleway Object Storage",
        endpoint="https://s3.{region}.scw.cloud",
        regions=(
            Region("fr-par", "Paris"),
            Region("nl-ams", "Amsterdam"),
            Region("pl-waw", "Warsaw"),
            Region("it-mil", "Milan"),
        ),
        # Scaleway documents 1,000 parts where S3 has 10,000.
        limits=Limits(max_parts=1000),
        storage_classes=("STANDARD", "ONEZONE_IA"),
        # Egress: beyond what is free; a comparison of 2024-07 (gist of Manouchehri, after
        # scaleway.com/en/pricing/storage) has 0.011 USD. That of Glacier's restoration, from
        # memory, was found nowhere.
        prices=Prices(egress=0.01, retrieval={"GLACIER": 0.009}),
        notes=_GLACIER_NOTE,
    ),
    "ovhcloud": Provider(
        label="OVHcloud Object Storage",
        endpoint="https://s3.{region}.io.cloud.ovh.net",
        regions=(
            Region("gra", "Gravelines"),
            Region("rbx", "Roubaix"),
            Region("sbg", "Strasbourg"),
            Region("eu-west-par", "Paris, three zones"),
            Region("eu-south-mil", "Milan, three zones"),
            Region("de", "Frankfurt"),
            Region("waw", "Warsaw"),
            Region("uk", "London", in_eu=False),
            Region("bhs", "Beauharnois", in_eu=False),
            Region("ca-east-tor", "Toronto", in_eu=False),
            Region("sgp", "Singapore", in_eu=False),
            Region("ap-southeast-syd", "Sydney", in_eu=False),
        ),
        storage_classes=("STANDARD", "STANDARD_IA", "EXPRESS_ONEZONE"),
        sse=("AES256",),
        # Only a list of 2021-04 was found (gist of peterwwillis: 11 USD a TB); OVHcloud's own
        # questions and answers (KB0059678, 2026-02) name no figure.
        prices=Prices(egress=0.011),
    ),
    "hetzner": Provider(
        label="Hetzner Object Storage",
        endpoint="https://{region}.your-objectstorage.com",
        regions=(
            Region("fsn1", "Falkenstein"),
            Region("nbg1", "Nuremberg"),
            Region("hel1", "Helsinki"),
        ),
        # docs.hetzner.com/storage/object-storage/overview (2024-12) includes 1 TB a month; what is
        # beyond costs as that of servers: 1.00 EUR a TB, as Hetzner's pricing API told in 2026-05.
        prices=Prices(egress=0.001, confirmed="2026-05"),
    ),
    "exoscale": Provider(
        label="Exoscale Object Storage",
        endpoint="https://sos-{region}.exo.io",
        regions=(
            Region("de-fra-1", "Frankfurt"),
            Region("de-muc-1", "Munich"),
            Region("at-vie-1", "Vienna 1"),
            Region("at-vie-2", "Vienna 2"),
            Region("bg-sof-1", "Sofia"),
            Region("hr-zag-1", "Zagreb"),
            Region("ch-gva-2", "Geneva", in_eu=False),
            Region("ch-dk-2", "Zürich", in_eu=False),
        ),
        # exoscale.com/pricing fills in its figures by script: none could be read in 2026-09.
        prices=Prices(egress=0.02),
    ),
    "ceph": Provider(
        label="Ceph RADOS Gateway", path_style=True, prices=OWN_HARDWARE, notes="Needs an endpoint."
    ),
    "rclone": Provider(
        label="rclone serve s3", path_style=True, prices=OWN_HARDWARE, notes="Needs an endpoint."
    ),
    "other": Provider(
        label="Other S3-compatible service", path_style=True, notes="Needs an endpoint."
    ),
}
