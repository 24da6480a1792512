"""Small files that would take gigabytes of memory, each beside a sample that is good."""

import io
import json
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

SIDE_PIXELS = 13_000


def _sparse(path: Path, size_bytes: int, start: bytes = b"") -> None:
    path.write_bytes(start)
    with path.open("r+b") as file:
        file.truncate(size_bytes)


def _good_png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (70, 70), "red").save(file, "png")
    return file.getvalue()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(colour_type: int, row_bytes: int, before: bytes = b"", side_pixels: int = SIDE_PIXELS, bits: int = 8) -> bytes:
    header = struct.pack(">IIBBBBB", side_pixels, side_pixels, bits, colour_type, 0, 0, 0)
    packer = zlib.compressobj(9)
    pixels = b"".join(packer.compress(bytes(1 + row_bytes)) for _ in range(side_pixels)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + before + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _webp() -> bytes:
    """A lossless picture of one colour: its size is two numbers in the header, and no pixel takes a bit."""
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "webp", lossless=True, method=0)
    content = bytearray(file.getvalue())
    start = content.index(b"VP8L") + 9
    sizes = int.from_bytes(content[start : start + 4], "little") >> 28 << 28
    claimed = sizes | (SIDE_PIXELS - 1) | (SIDE_PIXELS - 1) << 14
    content[start : start + 4] = claimed.to_bytes(4, "little")
    return bytes(content)


def _folder(root: Path, content: bytes | None = None) -> dict[str, object]:
    root.mkdir(parents=True)
    for name in ("a", "b"):
        (root / f"{name}.png").write_bytes(_good_png())
        (root / f"{name}.txt").write_text("a caption")
    if content is not None:
        (root / "b.png").write_bytes(content)
    return {"kind": "folder", "root": str(root)}


def good(root: Path) -> dict[str, object]:
    return _folder(root)


def large_file(root: Path) -> dict[str, object]:
    source = _folder(root)
    _sparse(root / "b.png", 10 << 30)
    return source


def large_sidecar(root: Path) -> dict[str, object]:
    source = _folder(root)
    _sparse(root / "b.txt", 300 << 20, b"a caption")
    return source


def large_member(root: Path) -> dict[str, object]:
    return _tar(root, tarfile.TarInfo("b.png"), 10 << 30)


def large_json_member(root: Path) -> dict[str, object]:
    return _tar(root, tarfile.TarInfo("a.json"), 300 << 20)


def large_extended_header(root: Path) -> dict[str, object]:
    info = tarfile.TarInfo("pax")
    info.type = tarfile.XHDTYPE
    return _tar(root, info, 2 << 30)


def _tar(root: Path, last: tarfile.TarInfo, size_bytes: int) -> dict[str, object]:
    """A tar of one sample and of a last member that is a hole in the file."""
    root.mkdir()
    with tarfile.open(root / "0.tar", "w") as tar:
        for name, content in [("a.png", _good_png()), ("a.txt", b"a caption"), ("b.txt", b"a caption")]:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        end = tar.offset
    last.size = size_bytes
    start = (root / "0.tar").read_bytes()[:end] + last.tobuf(tarfile.GNU_FORMAT)
    _sparse(root / "0.tar", len(start) + size_bytes + 1024, start)
    return {"kind": "webdataset", "root": str(root)}


def wide_webp(root: Path) -> dict[str, object]:
    return _folder(root, _webp())


def wide_png(root: Path) -> dict[str, object]:
    return _folder(root, _png(0, SIDE_PIXELS // 8, bits=1))


def wide_gif(root: Path) -> dict[str, object]:
    file = io.BytesIO()
    Image.new("P", (64, 64)).save(file, "gif")
    content = bytearray(file.getvalue())
    size = struct.pack("<HH", SIDE_PIXELS, SIDE_PIXELS)
    frame = content.index(b",")
    content[6:10], content[frame + 5 : frame + 9] = size, size
    return _folder(root, bytes(content))


def png_with_a_text_of_200_megabytes(root: Path) -> dict[str, object]:
    text = _chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(200 << 20), 1))
    return _folder(root, _png(2, 3 * 70, text, side_pixels=70))


def wide_label_map(root: Path) -> dict[str, object]:
    source = _folder(root / "images")
    (root / "labels").mkdir()
    for name, content in [("a", _png(0, 70, side_pixels=70)), ("b", _png(0, SIDE_PIXELS))]:
        (root / f"labels/{name}.png").write_bytes(content)
    return source | {"labels_root": str(root / "labels")}


def large_line_of_json(root: Path) -> dict[str, object]:
    source = _folder(root)
    _sparse(root / "metadata.jsonl", 300 << 20, b'{"file_name": "b.png", "text": "')
    return source


def large_field_of_csv(root: Path) -> dict[str, object]:
    source = _folder(root)
    _sparse(root / "metadata.csv", 300 << 20, b'file_name,text\nb.png,"')
    return source


def large_caption_of_coco(root: Path) -> dict[str, object]:
    for folder in ("x", "annotations"):
        (root / folder).mkdir(parents=True)
    start = json.dumps({"images": [{"id": 1, "file_name": "1.png"}], "annotations": [{"image_id": 1, "caption": ""}]})
    _sparse(root / "annotations/captions_x.json", 300 << 20, start.removesuffix('"}]}').encode())
    return {"kind": "coco", "root": str(root), "split": "x", "keypoints": False}


def large_list_of_categories(root: Path) -> dict[str, object]:
    source = _folder(root / "images")
    _sparse(root / "labels.txt", 300 << 20, b"0: unlabelled\n")
    return source | {"labels_file": str(root / "labels.txt")}


def _parquet(root: Path, caption: str, rows: int) -> dict[str, object]:
    """A caption that is stored once for all rows."""
    root.mkdir()
    captions = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), [caption])
    urls = [f"http://127.0.0.1:9/{number}" for number in range(rows)]
    table = pa.table({"url": urls, "caption": captions})
    pq.write_table(table, root / "0.parquet", dictionary_pagesize_limit=1 << 26)
    return {"kind": "laion", "root": str(root)}


def shared_long_captions(root: Path) -> dict[str, object]:
    return _parquet(root, "x" * 33_000, 66_000)


def shared_captions_just_short_enough(root: Path) -> dict[str, object]:
    return _parquet(root, "x" * 6_000, 70_000)


BOMBS: tuple[Callable[[Path], dict[str, object]], ...] = (
    large_file,
    large_sidecar,
    large_member,
    large_json_member,
    large_extended_header,
    wide_webp,
    wide_png,
    wide_gif,
    png_with_a_text_of_200_megabytes,
    wide_label_map,
    large_line_of_json,
    large_field_of_csv,
    large_caption_of_coco,
    large_list_of_categories,
    shared_long_captions,
    shared_captions_just_short_enough,
)
