"""Bytes of an item, unpacked: the compression is taken from the suffix of the name, as Druid does.

Every stream here offers `readinto(buffer) -> int` (0 at the end) and `close()`. A broken archive raises EOFError
(it ends too early) or OSError/ValueError (it is none).
"""

from __future__ import annotations

import bz2
import io
import lzma
import struct
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Protocol

from isal import igzip


class ByteStream(Protocol):
    def readinto(self, buffer: memoryview, /) -> int | None: ...
    def close(self) -> None: ...


def unpack(raw: BinaryIO, name: str) -> ByteStream:
    """The text behind `raw`: .gz, .bz2, .xz, .zst, .sz, .zip (first entry) and .lz4 (Java's block container)."""
    suffix = name[name.rfind(".") :] if "." in name else ""
    if suffix not in _SUFFIXES:
        return raw  # type: ignore[return-value]
    file = io.BufferedReader(raw, 256 << 10) if isinstance(raw, io.RawIOBase) else raw
    try:
        return _SUFFIXES[suffix](file)
    except BaseException:
        file.close()
        raise


class _Closing:
    """An unpacker that closes the file below it, too, and tells an early end apart."""

    def __init__(self, inner: Any, raw: BinaryIO) -> None:
        self._inner = inner
        self._raw = raw

    def readinto(self, buffer: memoryview, /) -> int:
        try:
            return int(self._inner.readinto(buffer) or 0)
        except (EOFError, OSError, ValueError):
            raise
        except Exception as error:  # zlib.error, lzma.LZMAError, ZstdError, IsalError have no common base
            raise ValueError(str(error)) from error

    def close(self) -> None:
        self._inner.close()
        self._raw.close()


class _Pieces:
    """A stream of the byte strings an iterator makes."""

    def __init__(self, pieces: Iterator[bytes], raw: BinaryIO) -> None:
        self._pieces = pieces
        self._raw = raw
        self._rest = memoryview(b"")

    def readinto(self, buffer: memoryview, /) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        n = min(len(buffer), len(self._rest))
        buffer[:n] = self._rest[:n]
        self._rest = self._rest[n:]
        return n

    def close(self) -> None:
        self._raw.close()


def _gzip(file: BinaryIO) -> ByteStream:
    return _Closing(igzip.GzipFile(fileobj=file), file)


def _bzip2(file: BinaryIO) -> ByteStream:
    return _Closing(bz2.BZ2File(file), file)


def _xz(file: BinaryIO) -> ByteStream:
    return _Closing(lzma.LZMAFile(file), file)


def _zstd(file: BinaryIO) -> ByteStream:
    import zstandard

    return _Closing(zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True), file)


def _snappy(file: BinaryIO) -> ByteStream:
    return _Pieces(_snappy_frames(file), file)


def _lz4(file: BinaryIO) -> ByteStream:
    return _Pieces(_lz4_blocks(file), file)


def _zip(file: BinaryIO) -> ByteStream:
    raw: BinaryIO = file if file.seekable() else _in_memory(file)
    try:
        archive = zipfile.ZipFile(raw)
    except zipfile.BadZipFile as error:
        raise ValueError(str(error)) from error
    entries = [i for i in archive.infolist() if not i.is_dir()]
    if not entries:
        return io.BytesIO(b"")
    return _Closing(archive.open(entries[0]), raw)


def _in_memory(file: BinaryIO) -> BinaryIO:
    with file:
        return io.BytesIO(file.read())


def _exactly(raw: BinaryIO, n: int) -> bytes:
    out = raw.read(n)
    while len(out) < n:
        more = raw.read(n - len(out))
        if not more:
            raise EOFError("the archive ends inside a block")
        out += more
    return out


def _snappy_frames(raw: BinaryIO) -> Iterator[bytes]:
    """Snappy's framing format: kind byte, 3 bytes of length, for data 4 bytes of checksum."""
    from cramjam import snappy

    first = True
    while head := raw.read(1):
        size = int.from_bytes(_exactly(raw, 3), "little")
        body = _exactly(raw, size)
        kind = head[0]
        if kind == 0xFF:
            if body != b"sNaPpY":
                raise ValueError("not a snappy stream")
        elif first:
            raise ValueError("not a snappy stream")
        elif kind == 0x00:
            yield bytes(snappy.decompress_raw(body[4:]))
        elif kind == 0x01:
            yield body[4:]
        elif kind < 0x80:
            raise ValueError(f"snappy chunk of unknown kind [{kind}]")
        first = False


def _lz4_blocks(raw: BinaryIO) -> Iterator[bytes]:
    """lz4-java's container: `LZ4Block`, method byte, packed and plain size, checksum; an empty block ends it."""
    import lz4.block

    while head := raw.read(21):
        if len(head) < 21:
            raise EOFError("the archive ends inside a block header")
        magic, token, packed_size, size, _ = struct.unpack("<8sBIII", head)
        if magic != b"LZ4Block":
            raise ValueError("not an LZ4Block stream")
        if size == 0:
            continue
        body = _exactly(raw, packed_size)
        yield body if token & 0xF0 == 0x10 else lz4.block.decompress(body, uncompressed_size=size)


_SUFFIXES: dict[str, Callable[[BinaryIO], ByteStream]] = {
    ".gz": _gzip, ".bz2": _bzip2, ".xz": _xz, ".zst": _zstd, ".zip": _zip, ".sz": _snappy, ".lz4": _lz4,
}  # fmt: skip
