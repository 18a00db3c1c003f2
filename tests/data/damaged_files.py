"""Makes damaged files, the same for one seed: images, arrays, checkpoints, archives and tables, and some made to harm.

Every kind begins as a whole file, which some damage is then done to: cut off, bits flipped, a block overwritten, a
number in its head made huge, another file's head, bytes put in or taken out.
"""

import bz2
import functools
import io
import itertools
import math
import pickle
import struct
import sys
import tarfile
import types
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

RELEASED = Path(__file__).parents[1] / "bridges/released/000016.pt"
MEGABYTE = 2**20
Named = tuple[str, bytes]


def images(count: int, seed: int) -> Iterator[Named]:
    """Damaged images of every kind in turn, name and content."""
    yield from _damaged(whole_images(), count, seed, "image")


def stores(count: int, seed: int) -> Iterator[Named]:
    """Damaged arrays, checkpoints, archives and tables likewise."""
    yield from _damaged(whole_stores(), count, seed, "store")


def _damaged(whole: dict[str, bytes], count: int, seed: int, what: str) -> Iterator[Named]:
    kinds, ways = list(whole), list(DAMAGES)
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        kind = kinds[number % len(kinds)]
        way = ways[number // len(kinds) % len(ways)]
        content = DAMAGES[way](bytearray(whole[kind]), rng, whole[kinds[(number + 1) % len(kinds)]])
        stem, _, ending = kind.partition(".")
        yield f"{what}_{number:04d}_{way}_{stem}.{ending}", bytes(content)


# What can happen to a file's bytes, of which `other` is another file.


def _cut(content: bytearray, rng: np.random.Generator, other: bytes) -> bytearray:
    return content[: int(rng.integers(len(content)))]


def _bits(content: bytearray, rng: np.random.Generator, other: bytes) -> bytearray:
    for place in rng.integers(8 * len(content), size=2 ** int(rng.integers(8))):
        content[place // 8] ^= 1 << (place % 8)
    return content


def _head(content: bytearray, rng: np.random.Generator, other: bytes) -> bytearray:
    """Bits of the first 100 bytes: sizes, types, counts."""
    for place in rng.integers(8 * min(100, len(content)), size=4):
        content[place // 8] ^= 1 << (place % 8)
    return content


def _tail(content: bytearray, rng: np.random.Generator, other: bytes) -> bytearray:
    """Bits of the last 200 bytes: where a zip and a table have their directories."""
    for place in rng.integers(8 * min(200, len(content)), size=4):
        content[-1 - place // 8] ^= 1 << (place % 8)
    return content


def _huge(content: bytearray, rng: np.random.Generator, other: bytes) -> bytearray:
    """A number that says far too much, in either order of bytes."""
    values = (0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFF, 0, 2**24)
    value = values[int(rng.integers(len(values)))]
    place = int(rng.integers(min(200, len(content) - 4)))
    content[place : place + 4] = struct.pack("<I" if rng.integers(2) else ">I", value)
    return content


def _block(content: bytearray, rng: np.random.Generator, other: bytes) -> bytearray:
    place, size = int(rng.integers(len(content))), int(rng.integers(1, 200))
    piece = content[place : place + size]
    content[place : place + size] = rng.bytes(len(piece)) if rng.integers(2) else bytes(len(piece))
    return content


def _moved(content: bytearray, rng: np.random.Generator, other: bytes) -> bytearray:
    """Bytes put in or taken out."""
    place, size = int(rng.integers(len(content))), int(rng.integers(1, 50))
    if rng.integers(2):
        del content[place : place + size]
    else:
        content[place:place] = rng.bytes(size)
    return content


def _foreign(content: bytearray, rng: np.random.Generator, other: bytes) -> bytearray:
    """Another file's head."""
    size = int(rng.integers(4, 64))
    return bytearray(other[:size]) + content[size:]


def _mended(content: bytearray, rng: np.random.Generator, other: bytes) -> bytearray:
    """Bits flipped, and the checksums of a PNG or a zip made to fit, so that its decoder meets them."""
    start = bytes(content[:4])
    content = _bits(content, rng, other)
    if start == b"\x89PNG":
        place = 8
        while place + 12 <= len(content):
            (size,) = struct.unpack_from(">I", content, place)
            if place + size + 12 > len(content):
                break
            struct.pack_into(
                ">I", content, place + size + 8, zlib.crc32(content[place + 4 : place + size + 8])
            )
            place += size + 12
    elif start == b"PK\x03\x04":
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                infos = archive.infolist()
        except Exception:  # its directory was hit
            return content
        for info in infos:
            begin = info.header_offset + 30 + len(info.filename)
            stored = bytes(content[begin : begin + info.compress_size])
            if info.compress_type == zipfile.ZIP_STORED:
                old, new = struct.pack("<I", info.CRC), struct.pack("<I", zlib.crc32(stored))
                content = content.replace(old, new)
    return content


DAMAGES: dict[str, Callable[[bytearray, np.random.Generator, bytes], bytearray]] = {
    "cut": _cut,
    "bits": _bits,
    "head": _head,
    "tail": _tail,
    "huge": _huge,
    "block": _block,
    "moved": _moved,
    "foreign": _foreign,
    "mended": _mended,
}


def picture(side: int = 24, mode: str = "RGB", seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    smooth = np.add.outer(np.arange(side), np.arange(side))[..., None] * 255 // (2 * side)
    values = (smooth + rng.integers(0, 40, (side, side, 3))).clip(0, 255).astype(np.uint8)
    return Image.fromarray(values).convert(mode)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def whole_images() -> dict[str, bytes]:
    """Whole images, by names that say their kind."""
    frames = [picture(seed=i) for i in range(4)]
    several = {"save_all": True, "append_images": frames[1:]}
    rgba = picture(mode="RGBA")
    rgba.putalpha(picture(mode="L"))
    made = {
        "rgb.png": encoded(picture(), "PNG"),
        "grey.png": encoded(picture(mode="L"), "PNG", icc_profile=bytes(500)),
        "palette.png": encoded(picture(mode="P"), "PNG", transparency=3),
        "alpha.png": encoded(rgba, "PNG"),
        "frames.png": encoded(frames[0], "PNG", **several),
        "baseline.jpg": encoded(picture(), "JPEG", exif=b"Exif\0\0" + bytes(60)),
        "progressive.jpg": encoded(picture(64), "JPEG", progressive=True),
        "cmyk.jpg": encoded(picture(mode="CMYK"), "JPEG"),
        "one.gif": encoded(picture(mode="P"), "GIF"),
        "frames.gif": encoded(frames[0], "GIF", **several),
        "rgb.bmp": encoded(picture(), "BMP"),
        "palette.bmp": encoded(picture(mode="P"), "BMP"),
        "raw.tif": encoded(picture(), "TIFF"),
        "lzw.tif": encoded(picture(), "TIFF", compression="tiff_lzw"),
        "deflate.tiff": encoded(picture(), "TIFF", compression="tiff_adobe_deflate"),
        "jpeg.tif": encoded(picture(), "TIFF", compression="jpeg"),
        "frames.tif": encoded(frames[0], "TIFF", **several),
        "lossy.webp": encoded(picture(), "WEBP"),
        "lossless.webp": encoded(rgba, "WEBP", lossless=True),
        "frames.webp": encoded(frames[0], "WEBP", **several),
        "one.avif": encoded(picture(), "AVIF"),
        "one.jp2": encoded(picture(), "JPEG2000"),
        "plain.ppm": encoded(picture(), "PPM"),
        "one.tga": encoded(picture(), "TGA", compression="tga_rle"),
        "one.pcx": encoded(picture(), "PCX"),
    }
    return made


def whole_stores() -> dict[str, bytes]:
    """Whole arrays, checkpoints, archives and tables, likewise; the kinds that were asked for first most often."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (12, 6, 6, 3), dtype=np.uint8)
    vectors = rng.normal(size=(12, 5)).astype(np.float32)
    made = {}
    for name, save, arrays in (
        ("stored.npz", np.savez, {"images": pixels, "held_out": pixels[:3]}),
        ("packed.npz", np.savez_compressed, {"images": pixels, "label": np.arange(12)}),
        ("vectors.npz", np.savez, {"x_train": vectors, "x_test": vectors}),
    ):
        stream = io.BytesIO()
        save(stream, **arrays)
        made[name] = stream.getvalue()
    for name, array in (
        ("pixels.npy", pixels),
        ("vectors.npy", vectors),
        ("half.npy", np.asfortranarray(vectors.astype(np.float16))),
    ):
        stream = io.BytesIO()
        np.save(stream, array)
        made[name] = stream.getvalue()
    made["network.pt"] = made["again.pt"] = RELEASED.read_bytes()
    made["tiny.pt"] = zipped({"a/data.pkl": _description(RELEASED)})
    few = {f"{i}.png": encoded(picture(8, seed=i), "PNG") for i in range(4)}
    made["stored.zip"] = zipped(few | {"caption.txt": b"words"})
    made["packed.zip"] = zipped(few, zipfile.ZIP_DEFLATED)
    made["lzma.zip"] = zipped(few, zipfile.ZIP_LZMA)
    for name, mode in (("plain.tar", "w"), ("packed.tar.gz", "w:gz"), ("packed.tar.xz", "w:xz")):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode=mode) as archive:
            for inner, content in few.items():
                info = tarfile.TarInfo(inner)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        made[name] = stream.getvalue()
    cells = pa.table({"image": [{"bytes": content, "path": None} for content in few.values()]})
    numbers = pa.table({"x": vectors.tolist()})
    for name, table, options in (
        ("images.parquet", cells, {}),
        ("numbers.parquet", numbers, {"compression": "zstd"}),
        ("plain.parquet", numbers, {"compression": "none", "use_dictionary": False}),
    ):
        stream = io.BytesIO()
        pq.write_table(table, stream, **options)
        made[name] = stream.getvalue()
    for name, writer in (("images.arrow", pa.ipc.new_stream), ("numbers.feather", pa.ipc.new_file)):
        stream = io.BytesIO()
        table = cells if name.startswith("images") else numbers
        with writer(stream, table.schema) as sink:
            sink.write_table(table)
        made[name] = stream.getvalue()
    return made


def _description(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


# Files made to harm: small ones that unpack to gigabytes, claim them, or never end.


def harmful() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Bombs, and files that send their reader round in circles: name, and what makes the content."""
    zeros = functools.partial(_deflated_zeros, 3 * 1024)
    blank = zlib.compress(bytes(72))
    yield "png_bomb.png", lambda: _png(60_000, 60_000, zeros())
    yield "png_as_large_as_is_read.png", lambda: _png(9_100, 9_100, zlib.compress(bytes(9_101 * 9_100), 9))
    yield "png_of_text.png", lambda: _png(8, 8, blank, (b"zTXt", b"key\0\0" + zeros()))
    yield "png_of_profile.png", lambda: _png(8, 8, blank, (b"iCCP", b"icc\0\0" + zeros()))
    yield "wide.gif", _wide_gif
    yield "many.gif", _many_frames
    yield "large.jpg", _large_jpeg
    yield "scans.jpg", _many_scans
    yield "blank.webp", lambda: encoded(Image.new("RGB", (9_000, 9_000)), "WEBP", method=0)
    yield "blank.tif", lambda: encoded(Image.new("1", (60_000, 60_000)), "TIFF", compression="group4")
    yield "circle.tif", _endless_tiff
    for name, kind in (("images", "uint8"), ("samples", "float16")):
        head = _npy_head((3 * 1024, 1024, 1024, 1), np.dtype(kind))
        size = 3 * 1024 * np.dtype(kind).itemsize
        yield f"bomb_of_{kind}.npz", functools.partial(_zip_of, f"{name}.npy", head, size)
        yield f"head_alone_of_{kind}.npy", lambda head=head: head
    one = _npy_head((1,), np.dtype("u1")) + b"0"
    yield "members.npz", lambda: zipped({f"{i}.npy": one for i in range(20_000)})
    yield "bombs.zip", lambda: _zip_of("picture.png", b"", 250, members=40)
    few = {f"{i:05d}.png": encoded(picture(8, seed=i), "PNG") for i in range(30)}
    yield "bombs_after_pictures.zip", lambda: _zip_of("z.png", b"", 250, members=40, before=few)
    # So few that they may be pictures, which all the same are too much to hold at once.
    yield "large_after_pictures.zip", lambda: _zip_of("z.png", b"", 250, members=4, before=few)
    for name, pack in (("gz", zlib), ("bz2", bz2)):
        yield f"bomb.tar.{name}", functools.partial(_tar_bomb, pack)
    yield "zeros_at_the_end.tar.gz", lambda: _gzip(_deflated_zeros(20 * 1024, raw=True))
    yield "zeros.pt", lambda: _zip_of("a/data.pkl", b"", 250)
    for name, content in _harmful_pickles():
        yield f"{name}.pt", lambda content=content: zipped({"a/data.pkl": content, "a/data/0": bytes(400)})
    for name, options in (("dictionary", {}), ("zstd", {"compression": "zstd", "use_dictionary": False})):
        yield f"bomb_{name}.parquet", functools.partial(_table_bomb, **options)
    yield "same.parquet", _same_picture


def _wide_gif() -> bytes:
    return b"GIF89a\xff\xff\xff\xff\x80\0\0\0\0\0\xff\xff\xff" + encoded(picture(mode="P"), "GIF")[13:]


def _large_jpeg() -> bytes:
    """A JPEG of few bytes that says it has 65,500 × 65,500 pixels."""
    large = bytearray(encoded(picture(), "JPEG"))
    place = large.index(b"\xff\xc0")
    large[place + 5 : place + 9] = b"\xff\xdc\xff\xdc"
    return bytes(large)


def _table_bomb(**options) -> bytes:
    """A column of 200 rows of four million zeros each."""
    lists = pa.table({"x": pa.array([np.zeros(2**22, np.float32)] * 10)})
    stream = io.BytesIO()
    with pq.ParquetWriter(stream, lists.schema, **options) as writer:
        for _ in range(20):
            writer.write_table(lists)
    return stream.getvalue()


def _same_picture() -> bytes:
    """A column of 40 pictures of 200 MB each."""
    same = pa.table({"image": pa.array([bytes(200 * MEGABYTE)], pa.large_binary())})
    stream = io.BytesIO()
    with pq.ParquetWriter(stream, same.schema, compression="zstd") as writer:
        for _ in range(40):
            writer.write_table(same)
    return stream.getvalue()


def _deflated_zeros(megabytes: int, raw: bool = False) -> bytes:
    """So many megabytes of zeros, packed; the blocks repeat, so that making them takes no time."""
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(bytes(MEGABYTE)) + packer.flush(zlib.Z_FULL_FLUSH)
    content = block * megabytes + packer.flush(zlib.Z_FINISH)
    return content if raw else b"\x78\xda" + content + bytes(4)


def _gzip(raw: bytes) -> bytes:
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + raw + bytes(8)


def _png(width: int, height: int, pixels: bytes, *more: tuple[bytes, bytes]) -> bytes:
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        *more,
        (b"IDAT", pixels),
        (b"IEND", b""),
    ]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def _many_frames() -> bytes:
    """A GIF of 200,000 frames."""
    one = encoded(Image.new("P", (4, 4)), "GIF")
    start = one.index(b",", 13)
    return one[:start] + (b"!\xf9\x04\0\0\0\0\0" + one[start:-1]) * 200_000 + b";"


def _many_scans() -> bytes:
    """A progressive JPEG of 2,500 × 2,500 pixels whose last scan comes 1,000 times."""
    one = encoded(Image.new("L", (2_500, 2_500), 90), "JPEG", progressive=True)
    last = one.rindex(b"\xff\xda")
    return one[:last] + one[last:-2] * 1_000 + b"\xff\xd9"


def _endless_tiff() -> bytes:
    """A TIFF whose second directory is its first."""
    one = bytearray(encoded(picture(), "TIFF"))
    (place,) = struct.unpack_from("<I", one, 4)
    (entries,) = struct.unpack_from("<H", one, place)
    struct.pack_into("<I", one, place + 2 + 12 * entries, place)
    return bytes(one)


def _npy_head(shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"shape": shape, "fortran_order": False, "descr": np.lib.format.dtype_to_descr(dtype)}
    )
    return stream.getvalue()


def _zip_of(
    name: str, head: bytes, megabytes: int, members: int = 1, before: dict[str, bytes] | None = None
) -> bytes:
    """A zip of members that unpack to a head and so many megabytes of zeros each."""
    packer = zlib.compressobj(9, wbits=-15)
    first = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    packed = first + _deflated_zeros(megabytes, raw=True)
    check = zlib.crc32(head)
    block = bytes(MEGABYTE)
    for _ in range(megabytes):
        check = zlib.crc32(block, check)
    parts, directory, place = [], [], 0
    every = [
        (inner, content, zlib.crc32(content), len(content), 0) for inner, content in (before or {}).items()
    ]
    size = len(head) + megabytes * MEGABYTE
    every += [
        (f"{i}{name}" if members > 1 else name, packed, check, min(size, 2**32 - 1), 8)
        for i in range(members)
    ]
    for inner, content, crc, length, method in every:
        fields = struct.pack("<HHHHHIIIHH", 20, 0, method, 0, 33, crc, len(content), length, len(inner), 0)
        parts.append(b"PK\x03\x04" + fields + inner.encode() + content)
        directory.append(
            b"PK\x01\x02"
            + struct.pack("<H", 20)
            + fields
            + struct.pack("<HHHII", 0, 0, 0, 0, place)
            + inner.encode()
        )
        place += len(parts[-1])
    central = b"".join(directory)
    end = struct.pack("<HHHHIIH", 0, 0, len(every), len(every), len(central), place, 0)
    return b"".join(parts) + central + b"PK\x05\x06" + end


def _tar_bomb(pack) -> bytes:
    """A tar whose one picture has 20 GB of zeros."""
    info = tarfile.TarInfo("picture.png")
    info.size = 20 * 1024 * MEGABYTE
    head = info.tobuf(tarfile.GNU_FORMAT)
    if pack is bz2:
        return bz2.compress(head) + bz2.compress(bytes(64 * MEGABYTE)) * (20 * 1024 // 64)
    packer = zlib.compressobj(9, wbits=-15)
    return _gzip(
        packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH) + _deflated_zeros(20 * 1024, raw=True)
    )


def _harmful_pickles() -> Iterator[Named]:
    """Descriptions of checkpoints that would take all memory, or never end, if they were believed."""
    yield "place_of_a_note", b"\x80\x02]r\xff\xff\xff\x7f."  # LONG_BINPUT: a list of notes with 2^31 places
    yield "length_of_text", b"\x80\x04\x8d" + struct.pack("<Q", 2**40) + b"a."
    yield "length_of_bytes", b"\x80\x05\x96" + struct.pack("<Q", 2**36) + b"a."
    laughs: list = ["ha"] * 10
    for _ in range(40):
        laughs = [laughs] * 10
    yield "laughs", pickle.dumps({"ema": {}, "args": laughs}, 2)
    endless: list = []
    endless.append(endless)
    yield "endless", pickle.dumps({"ema": {}, "args": endless}, 2)
    deep = b"]" * 100_000 + b"a" * 99_999
    yield "deep", b"\x80\x02" + deep + b"."
    head, tail = b"\x80\x02}(X\3\0\0\0ema}X\4\0\0\0args", b"u."
    yield "deep_inside", head + deep + tail
    yield from _changed_options()


def _changed_options() -> Iterator[Named]:
    """The released checkpoint with one number of its architecture changed, or a tensor's shape made huge."""
    for name, value in itertools.product(
        ("dim", "num_res_blocks", "image_size", "in_channels"), (0, -1, 2**31 - 1, "many", None, math.nan)
    ):
        yield f"{name}_{value}", _with_option(name, value)
    for value in (5, [], [1, 2, 2**40], "abc", {"a": 1}):
        yield f"dim_mults_{str(value)[:8].replace(' ', '')}", _with_option("dim_mults", value)
    yield "shape", _with_shape((2**30, 2**30))


def _with_option(name: str, value: object) -> bytes:
    model = {
        "dim": 32, "dim_mults": [1, 2], "attn_resolutions": [8], "num_res_blocks": 1, "in_channels": 3,
        "image_size": 16,
    }  # fmt: skip
    return pickle.dumps({"ema": {}, "args": {"model": model | {name: value}, "train": {"train_size": 4}}}, 2)


def _with_shape(shape: tuple[int, int]) -> bytes:
    """A tensor of 100 numbers that says it has 2^60, all of them the first one."""

    class Stored:
        pass

    rebuild = types.ModuleType("torch._utils")

    def _rebuild_tensor_v2(*parts):
        return parts

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    rebuild._rebuild_tensor_v2 = _rebuild_tensor_v2  # type: ignore[attr-defined]
    storage = types.ModuleType("torch")
    kind = type("FloatStorage", (), {"__module__": "torch", "__qualname__": "FloatStorage"})
    storage.FloatStorage = kind  # type: ignore[attr-defined]

    class Tensor:
        def __reduce__(self):
            return _rebuild_tensor_v2, (Stored(), 0, shape, (0, 0), False, {})

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj):
            return ("storage", kind, "0", "cpu", 100) if isinstance(obj, Stored) else None

    args = pickle.loads(_with_option("dim", 32))["args"]
    stream = io.BytesIO()
    before = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    sys.modules |= {"torch": storage, "torch._utils": rebuild}
    try:
        tensors = {f"all_modules.{i}.weight": Tensor() for i in range(10)}
        Pickler(stream, 2).dump({"ema": tensors, "args": args})
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
    return stream.getvalue()
