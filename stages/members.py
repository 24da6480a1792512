"""The files of one sample: `<key>.jpg`, `<key>.txt`, `<key>.json` and one or more for each condition.

Every sample of a data set has the same members, and every `.json` the same fields with the same types: Hugging Face
datasets takes its schema from the first samples, and a null, an empty list or an integer among floats would break or
corrupt what it reads later.
"""

import json
import math

from stages.hardware.activity import doing
from stages.image.crop import carry_keypoints
from stages.image.decode import decode_stored
from stages.image.encode import encode_member
from stages.image.labels import read_cut_labels
from stages.records import AnnotatedSample, Crop, EncodedSample, LoadedSample, StoredSample

DECODING, ENCODING = "decoding", "PNG encoding"
"""What a thread does here, as it says to whoever watches."""
NOT_MEASURED = -1.0
"""In `<key>.json`, a score that only other samples have: JSON has no NaN, and a null would break readers."""


def read_crop(description: bytes) -> Crop:
    """Read the crop back from `<key>.json`; KeyError, TypeError or ValueError if that is not one of ours."""
    fields = json.loads(description)
    left, top, right, bottom = (float(edge) for edge in fields["crop_box"])
    return Crop(
        original_width=fields["original_width"],
        original_height=fields["original_height"],
        box=(left, top, right, bottom),
        stored_width=fields["width"],
        stored_height=fields["height"],
    )


@doing(DECODING)
def load_pixels(stored: StoredSample) -> LoadedSample:
    """Decode a stored sample: the one decode that every condition is computed from."""
    return LoadedSample(
        stored=stored,
        image_hwc=decode_stored(stored.image_bytes),
        labels_hw=read_cut_labels(stored.label_bytes),
        keypoints=carry_keypoints(stored.row.keypoints, stored.crop),
    )


@doing(ENCODING)
def encode_sample(sample: AnnotatedSample, source: str, image_format: str) -> EncodedSample:
    """Encode every member of a sample; `source` names the collection in its `.json`."""
    stored = sample.stored
    files = {
        image_format: stored.image_bytes,
        "json": describe_sample(stored, source),
        "txt": stored.caption.encode(),
    }
    return _encoded(sample, files)


@doing(ENCODING)
def encode_conditions(sample: AnnotatedSample) -> EncodedSample:
    """Encode the conditions alone: the members of a layer, whose images are in the data set below it."""
    return _encoded(sample, {})


def _encoded(sample: AnnotatedSample, files: dict[str, bytes]) -> EncodedSample:
    files = files | {member.extension: encode_member(member) for member in sample.members}
    crop = sample.stored.crop
    return EncodedSample(sample.stored.row.key, tuple(sorted(files.items())), crop.stored_width, crop.stored_height)


def describe_sample(stored: StoredSample, source: str) -> bytes:
    """Write `<key>.json`: captions, provenance, and the crop that leads from the original to the stored image."""
    crop, row = stored.crop, stored.row
    fields: dict[str, object] = {
        "captions": list(row.captions),
        "crop_box": [float(edge) for edge in crop.box],
        "height": crop.stored_height,
        "license": row.license,
        "original_height": crop.original_height,
        "original_width": crop.original_width,
        "source": source,
        "source_url": row.source_url,
        "width": crop.stored_width,
        **row.facts,
    }
    if row.scores:
        fields["scores"] = {
            name: NOT_MEASURED if math.isnan(score) else float(score) for name, score in sorted(row.scores.items())
        }
    return json.dumps(fields, ensure_ascii=False, sort_keys=True).encode()
