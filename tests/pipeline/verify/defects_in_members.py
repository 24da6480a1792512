"""Defects of single members, in samples that everything around agrees with: hashes, offsets and counts are made to fit.

Each function damages a copy and says what verify must say of it.
"""

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from stages.annotators.segmentation.palette import palette
from stages.image.encode import encode_png
from stages.records import UInt8Array
from tests.pipeline.verify.damage import Copy, Members, Said


def _pixels(content: bytes) -> UInt8Array:
    return np.asarray(Image.open(io.BytesIO(content)))


def _file(pixels: UInt8Array, image_format: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, image_format)
    return file.getvalue()


def image_cut_off(copy: Copy) -> Said:
    place = copy.rewrite_member("jpg", lambda content: content[: len(content) // 2])
    return Said(*place, r"^jpg must be a JPEG of 64x64 pixels in mode RGB, got \d+ bytes that cannot be decoded")


def image_that_is_none(copy: Copy) -> Said:
    place = copy.rewrite_member("jpg", lambda content: b"<html>404</html>")
    return Said(*place, r"^jpg must be a JPEG .*, got 16 bytes that cannot be decoded \(SyntaxError: not a PNG file\);")


def image_of_another_size(copy: Copy) -> Said:
    place = copy.rewrite_member("jpg", lambda content: _file(_pixels(content)[:-16], "JPEG"))
    return Said(*place, r"^jpg must be a JPEG of 64x64 pixels in mode RGB, got a JPEG of 64x48 pixels in mode RGB;")


def image_of_another_format(copy: Copy) -> Said:
    place = copy.rewrite_member("jpg", lambda content: _file(_pixels(content), "PNG"))
    return Said(*place, r"^jpg must be a JPEG .*, got a PNG of 64x64")


def grey_image(copy: Copy) -> Said:
    place = copy.rewrite_member("jpg", lambda content: _file(_pixels(content)[..., 0], "JPEG"))
    return Said(*place, r"^jpg must be .* in mode RGB, got .* in mode L;")


def condition_that_is_no_png(copy: Copy) -> Said:
    place = copy.rewrite_member("color.png", lambda content: content[:40] + bytes(20) + content[60:])
    return Said(*place, r"^color\.png must be a PNG of 64x64 pixels in mode RGB, got \d+ bytes that cannot be decoded")


def condition_with_a_wrong_checksum(copy: Copy) -> Said:
    place = copy.rewrite_member("color.png", lambda content: content[:-17] + b"?" + content[-16:])
    return Said(*place, r"^color\.png must be .*, got \d+ bytes that cannot be decoded \(SyntaxError: broken PNG file")


def condition_with_more_behind_it(copy: Copy) -> Said:
    place = copy.rewrite_member("color.png", lambda content: content + b"more")
    return Said(*place, r"^color\.png must be .*, got a PNG of 64x64 pixels in mode RGB that goes on behind its end;")


def condition_of_another_size(copy: Copy) -> Said:
    place = copy.rewrite_member("color.png", lambda content: encode_png(_pixels(content)[:, :-1]))
    return Said(*place, r"^color\.png must be .* 64x64 .*, got a PNG of 63x64 pixels in mode RGB;")


def condition_that_claims_any_size(copy: Copy) -> Said:
    place = copy.rewrite_member("color.png", lambda content: encode_png(np.zeros((1, 60000), np.uint8)))
    return Said(*place, r"^color\.png must be .*, got a PNG of 60000x1 pixels in mode L;")


def grey_colors(copy: Copy) -> Said:
    place = copy.rewrite_member("color.png", lambda content: encode_png(_pixels(content)[..., 0]))
    return Said(*place, r"^color\.png must be .* in mode RGB, got .* in mode L;")


def colors_in_sixteen_bits(copy: Copy) -> Said:
    def change(content: bytes) -> bytes:
        file = io.BytesIO()
        Image.fromarray(_pixels(content)[..., 0].astype(np.uint16)).save(file, "PNG")
        return file.getvalue()

    return Said(*copy.rewrite_member("color.png", change), r"^color\.png must be .* in mode RGB, got .* in mode I;16;")


def segmentation_in_colours(copy: Copy) -> Said:
    def change(content: bytes) -> bytes:
        return _file(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")), "PNG")

    place = copy.rewrite_member("segmentation.png", change)
    return Said(*place, r"^segmentation\.png must be .* in mode P, got .* in mode RGB;")


def segmentation_without_a_palette(copy: Copy) -> Said:
    place = copy.rewrite_member("segmentation.png", lambda content: encode_png(_pixels(content)))
    return Said(*place, r"^segmentation\.png must be .* in mode P, got .* in mode L;")


def segmentation_in_other_colours(copy: Copy) -> Said:
    place = copy.rewrite_member("segmentation.png", lambda content: encode_png(_pixels(content), palette()[::-1]))
    return Said(*place, r"^segmentation\.png palette must be the one of T2I-Adapter, got another one;")


def label_without_a_name(copy: Copy) -> Said:
    def change(content: bytes) -> bytes:
        labels_hw = _pixels(content).copy()
        labels_hw[copy.random.randrange(64), copy.random.randrange(64)] = 250
        return encode_png(labels_hw, palette())

    place = copy.rewrite_member("segmentation.png", change)
    return Said(*place, r"^segmentation\.png must hold 0 and the labels of dataset\.json, got 250;")


def _rewrite_json(copy: Copy, change: Callable[[dict[str, Any]], object]) -> tuple[str, str]:
    def changed(content: bytes) -> bytes:
        fields = json.loads(content)
        change(fields)
        return json.dumps(fields, ensure_ascii=False, sort_keys=True).encode()

    return copy.rewrite_member("json", changed)


def json_that_is_none(copy: Copy) -> Said:
    return Said(*copy.rewrite_member("json", lambda content: content[:-1]), r"^json must be JSON, got ")


def json_without_end(copy: Copy) -> Said:
    return Said(
        *copy.rewrite_member("json", lambda content: b"[" * 100_000), r"^json must be JSON, got maximum recursion"
    )


def json_that_is_a_list(copy: Copy) -> Said:
    return Said(*copy.rewrite_member("json", lambda content: b"[]"), r"^json must be an object, got \[\];")


def empty_captions(copy: Copy) -> Said:
    place = _rewrite_json(copy, lambda fields: fields.update(captions=[]))
    return Said(*place, r"^json captions must be a list of at least one text, none of them empty, got \[\];")


def empty_caption(copy: Copy) -> Said:
    place = _rewrite_json(copy, lambda fields: fields["captions"].append(" "))
    return Said(*place, r"^json captions must be a list of at least one text, none of them empty, got ")


def null_in_the_json(copy: Copy) -> Said:
    place = _rewrite_json(copy, lambda fields: fields.update(license=None))
    return Said(*place, r"^json license must be text, got None;")


def integers_where_floats_belong(copy: Copy) -> Said:
    place = _rewrite_json(copy, lambda fields: fields.update(crop_box=[int(edge) for edge in fields["crop_box"]]))
    return Said(*place, r"^json crop_box must be four floats, got \[8, 0, 88, 80\];")


def not_a_number_in_the_json(copy: Copy) -> Said:
    place = _rewrite_json(copy, lambda fields: fields["crop_box"].__setitem__(0, float("nan")))
    return Said(*place, r"^json must be JSON, got NaN")


def missing_field(copy: Copy) -> Said:
    return Said(*_rewrite_json(copy, lambda fields: fields.pop("source")), r"^json must have a field source, got none;")


def foreign_field(copy: Copy) -> Said:
    place = _rewrite_json(copy, lambda fields: fields.update(mood="calm"))
    return Said(*place, r"^json must have the format's fields, got a foreign 'mood';")


def scores_that_the_index_has_not(copy: Copy) -> Said:
    place = _rewrite_json(copy, lambda fields: fields.update(scores={"aesthetic": 9.5}))
    return Said(*place, r"^json scores must be none by the index, got \{'aesthetic': 9\.5\};")


def hash_that_lost_digits(copy: Copy) -> Said:
    place = _rewrite_json(copy, lambda fields: fields.update(hash=9.5e18))
    return Said(*place, r"^json hash must be text or a whole number of 64 bits, got 9\.5e\+18;")


def enormous_original(copy: Copy) -> Said:
    place = _rewrite_json(copy, lambda fields: fields.update(original_width=10**400))
    return Said(*place, r"^json original_width must be a whole number above 0, got 1000")


def crop_of_another_place(copy: Copy) -> Said:
    place = _rewrite_json(copy, lambda fields: fields["crop_box"].__setitem__(0, 9.0))
    return Said(*place, r"^json crop_box of a 96x80 original must be \(8\.0, .*stored at 64x64, got \(9\.0, ")


def other_stored_size(copy: Copy) -> Said:
    place = _rewrite_json(copy, lambda fields: fields.update(width=128))
    return Said(*place, r"^json crop_box of a 96x80 original must be .* at 64x64, got .* at 128x64;")


def other_licence(copy: Copy) -> Said:
    place = _rewrite_json(copy, lambda fields: fields.update(license="CC0"))
    return Said(*place, r"^json license must be '' by the index, got 'CC0';")


def texts_of_another_sample(copy: Copy) -> Said:
    record = copy.shard()
    other = copy.read(record, record.samples[0])
    place = copy.rewrite_sample(lambda members: members | {name: other[name] for name in ("json", "txt")})
    return Said(*place, r"^json captions must be \[.* by the index, got \[")


def caption_that_is_not_in_the_json(copy: Copy) -> Said:
    place = copy.rewrite_member("txt", lambda content: content + b"!")
    return Said(*place, r"^txt must be one of the captions in json, got '.*!?';")


def caption_that_the_seed_does_not_choose(copy: Copy) -> Said:
    def change(members: Members) -> Members:
        captions = json.loads(members["json"])["captions"]
        others = [caption for caption in captions if caption.encode() != members["txt"]]
        return members | {"txt": copy.random.choice(others).encode()}

    place = copy.rewrite_sample(change, lambda members: len(json.loads(members["json"])["captions"]) > 1)
    return Said(*place, r"^txt must be the caption that seed 0 chooses for this key, got '")


def caption_in_another_encoding(copy: Copy) -> Said:
    place = copy.rewrite_member("txt", lambda content: b"caf\xe9")
    return Said(*place, r"^txt must be one of the captions in json, got 'caf\\\\xe9';")


def _rewrite_keypoints(copy: Copy, change: Callable[[npt.NDArray[np.float32]], npt.NDArray[Any]]) -> tuple[str, str]:
    def changed(content: bytes) -> bytes:
        file = io.BytesIO()
        np.save(file, change(np.concatenate([np.load(io.BytesIO(content)), np.zeros(51, np.float32)])))
        return file.getvalue()

    return copy.rewrite_member("keypoints.npy", changed)


def keypoints_of_half_a_person(copy: Copy) -> Said:
    place = _rewrite_keypoints(copy, lambda values: values[:50])
    return Said(*place, r"^keypoints\.npy must be flat float32, a multiple of 51 long, got 50 of float32;")


def keypoints_in_double_precision(copy: Copy) -> Said:
    place = _rewrite_keypoints(copy, lambda values: values.astype(np.float64))
    return Said(*place, r"^keypoints\.npy must be flat float32, .* got \d+ of float64;")


def keypoints_that_are_not_flat(copy: Copy) -> Said:
    place = _rewrite_keypoints(copy, lambda values: values.reshape(-1, 17, 3))
    return Said(*place, r"^keypoints\.npy must be flat float32, .* got \dx17x3 of float32;")


def keypoint_that_is_no_number(copy: Copy) -> Said:
    def change(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        values[4] = np.nan
        return values

    return Said(*_rewrite_keypoints(copy, change), r"^keypoints\.npy must be finite, got nan at position 4;")


def keypoints_that_are_pickled(copy: Copy) -> Said:
    place = _rewrite_keypoints(copy, lambda values: values.astype(object))
    return Said(
        *place, r"^keypoints\.npy must be .*, got \d+ bytes that cannot be read \(Object arrays cannot be loaded"
    )


def keypoints_with_more_behind_them(copy: Copy) -> Said:
    place = copy.rewrite_member("keypoints.npy", lambda content: content + b"more")
    return Said(*place, r"^keypoints\.npy must be .*, got \d+ of float32 and 4 bytes more;")


def keypoints_that_are_a_zip(copy: Copy) -> Said:
    place = copy.rewrite_member("keypoints.npy", lambda content: b"PK\x03\x04" + bytes(64))
    return Said(
        *place, r"^keypoints\.npy must be .*, got 68 bytes that cannot be read \(the magic string is not correct"
    )
