"""What flows through the pipeline: one frozen type per arrow, so that no field is ever "not yet set".

    IndexRow ──load──> StoredSample ──decode──> LoadedSample ──annotate──> AnnotatedSample ──encode──> EncodedSample
       └───────────────────┴────────────────────────┴──────────────────────────┴──> Rejection

An `IndexRow` is one line of the index. A `StoredSample` is what crosses from the CPU operator to the GPU actor: the
bytes of the image exactly as the shard will store them, and the crop that led to them. A `LoadedSample` holds the
pixels decoded from those bytes: every condition is a function of it alone. At each arrow a `Rejection` may come out
instead.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

UInt8Array: TypeAlias = npt.NDArray[np.uint8]
UInt16Array: TypeAlias = npt.NDArray[np.uint16]
Float16Array: TypeAlias = npt.NDArray[np.float16]
Float32Array: TypeAlias = npt.NDArray[np.float32]


class Condition(StrEnum):
    """The conditions of T2I-Adapter (arXiv 2302.08453) that condset makes, canny, and latents.

    Latents are no condition of an adapter: they are the image itself, in the space of a VAE.
    """

    SKETCH = "sketch"
    DEPTH = "depth"
    KEYPOSE = "keypose"
    COLOR = "color"
    SEGMENTATION = "segmentation"
    CANNY = "canny"
    LATENTS = "latents"


class Reason(StrEnum):
    """Why a sample was rejected: a closed set, so that counts by reason mean the same everywhere."""

    NO_CAPTION = "no_caption"
    DUPLICATE_KEY = "duplicate_key"
    MISSING_FILE = "missing_file"
    EMPTY_FILE = "empty_file"
    NOT_AN_IMAGE = "not_an_image"
    UNSUPPORTED_FORMAT = "unsupported_format"
    TRUNCATED = "truncated"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_SMALL = "too_small"
    ASPECT_RATIO = "aspect_ratio"
    ANNOTATION_SIZE_MISMATCH = "annotation_size_mismatch"
    MISSING_LABELS = "missing_labels"
    BAD_LABELS = "bad_labels"
    NO_PERSON = "no_person"
    NO_EDGES = "no_edges"
    FLAT_DEPTH = "flat_depth"
    BAD_NAME = "bad_name"
    INVALID_URL = "invalid_url"
    DNS = "dns"
    REFUSED_ADDRESS = "refused_address"
    CONNECT = "connect"
    TIMEOUT = "timeout"
    TOO_MANY_REDIRECTS = "too_many_redirects"
    HTTP_404 = "http_404"
    HTTP_410 = "http_410"
    HTTP_429 = "http_429"
    HTTP_4XX = "http_4xx"
    HTTP_5XX = "http_5xx"
    BAD_RESPONSE = "bad_response"
    OPTED_OUT = "opted_out"
    TOO_LARGE = "too_large"
    REMOVED = "removed"


OUTAGE_REASONS = frozenset(
    {Reason.DNS, Reason.CONNECT, Reason.TIMEOUT, Reason.HTTP_5XX, Reason.MISSING_FILE, Reason.MISSING_LABELS}
)
"""The reasons that an outage gives rather than the data; `max_rejected_fraction` counts these alone."""


FACTS = ("copyright", "hash", "md5", "sha256", "sha512")
"""What a source may state of an image besides: fields of `<key>.json`, each a text or a whole number."""


LONGEST_DETAIL = 200
_TAIL = 60


@dataclass(frozen=True, slots=True)
class Rejection:
    """A sample that is not in the data set, and why; kept in its shard's record.

    What it was given as its detail is made one line of at most `LONGEST_DETAIL` characters: it may name what a stranger
    wrote, be it a whole picture in base64. The middle is left out then, and the detail says so.
    """

    key: str
    reason: str
    """A `Reason`; in a record that is read, maybe one that only a newer condset knows."""
    detail: str
    """One line for a person: what was expected, what was got."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "detail", _one_short_line(self.detail))


def _one_short_line(text: str) -> str:
    length = len(text)
    if length > 4 * LONGEST_DETAIL:  # no need to look at megabytes
        text = text[: 2 * LONGEST_DETAIL] + text[-2 * LONGEST_DETAIL :]
    if not text.isprintable():
        text = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
    if max(length, len(text)) <= LONGEST_DETAIL:
        return text
    cut = f" ... ({length} characters, cut) ... "
    return text[: LONGEST_DETAIL - _TAIL - len(cut)] + cut + text[-_TAIL:]


@dataclass(frozen=True, slots=True)
class IndexRow:
    """One candidate, as a source lists it; nothing of its pixels has been read."""

    key: str
    """Unique in the data set; no dot and no slash, since a tar member is `<key>.<extension>`."""
    image_uri: str
    """Relative to the source's root."""
    captions: tuple[str, ...]
    source_url: str
    """Where the image was published; empty if the source does not say."""
    license: str
    width: int
    """Of the upright image in pixels, as annotated; 0 if the source does not say."""
    height: int
    keypoints: Float32Array
    """(persons, 17, 3): x, y in pixels of the upright original, score 0 to 1; (0, 17, 3) without annotated persons."""
    label_uri: str
    """Of the label map, relative to the source's `label_base_uri`; empty if the source has none."""
    scores: Mapping[str, float]
    """What the source measured of the pair (aesthetic, similarity, ...)."""
    rejection: Rejection | None
    """Set if the listing alone shows that the candidate cannot be used."""
    facts: Mapping[str, str | int] = field(default_factory=dict)
    """Some of `FACTS`: in every row of a source the same names with the same types, numbers of 64 bits; "" or 0 where
    it states nothing."""


@dataclass(frozen=True, slots=True)
class Crop:
    """How the stored image was cut out of the upright original."""

    original_width: int
    original_height: int
    box: tuple[float, float, float, float]
    """Left, top, right, bottom in pixels of the upright original; the stored image is this box, resized."""
    stored_width: int
    stored_height: int


@dataclass(frozen=True, slots=True)
class StoredSample:
    """A sample as it travels between processes: encoded bytes and small facts, no pixels."""

    row: IndexRow
    caption: str
    """The one caption of `<key>.txt`."""
    image_bytes: bytes
    """The stored image's file, JPEG or PNG, exactly as the shard will hold it."""
    label_bytes: bytes
    """The label map under the same crop, nearest, as an 8-bit PNG of category ids (0 = unlabelled); empty if none."""
    crop: Crop


@dataclass(frozen=True, slots=True)
class LoadedSample:
    """A stored sample and the pixels decoded from its stored bytes: the input of every annotator."""

    stored: StoredSample
    image_hwc: UInt8Array
    """(height, width, 3) RGB; read-only."""
    labels_hw: UInt8Array | None
    """(height, width) category ids, 0 = unlabelled; None if the source has no label maps."""
    keypoints: Float32Array
    """(persons, 17, 3) in pixels of the stored image, carried through the crop; score 0 outside of it."""

    @property
    def key(self) -> str:
        return self.stored.row.key


@dataclass(frozen=True, slots=True)
class ImageMember:
    """A condition's picture: `<key>.<extension>`, stored as PNG."""

    extension: str
    pixels: UInt8Array | UInt16Array
    """(height, width) grey or category ids, or (height, width, 3) RGB; 16 bits for grey alone."""
    palette: bytes | None = None
    """768 bytes RGB: makes an indexed PNG of (height, width) category ids."""


@dataclass(frozen=True, slots=True)
class ArrayMember:
    """A condition's numbers: `<key>.<extension>`, stored as a flat .npy (what Hugging Face datasets reads)."""

    extension: str
    values: Float32Array | Float16Array
    """1-D; may be empty."""


ConditionMembers: TypeAlias = tuple[ImageMember | ArrayMember, ...]


@dataclass(frozen=True, slots=True)
class AnnotatedSample:
    """A sample with all of its conditions, before PNG encoding."""

    stored: StoredSample
    members: ConditionMembers


@dataclass(frozen=True, slots=True)
class EncodedSample:
    """A sample as the shard holds it: member files in the order of their names."""

    key: str
    members: tuple[tuple[str, bytes], ...]
    """(extension, bytes), sorted by extension."""
    width: int
    height: int
