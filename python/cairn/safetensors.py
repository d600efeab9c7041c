# SPDX-License-Identifier: Apache-2.0
"""safetensors files as dicts of numpy arrays, read strictly.

A file is a little-endian u64 with the length of a JSON header, the header, the tensors' bytes. numpy has no
bfloat16: BF16 tensors are read as float32, which holds each of their values, and are written from float32
where `bf16` names them.
"""

import json
import os
import struct
from typing import Any, Collection, Dict, List, Mapping, Optional, Tuple, Union

import numpy as np
from numpy.typing import NDArray

Path = Union[str, "os.PathLike[str]"]

HEADER_MOST = 100_000_000  # the limit of the format's reference implementation
METADATA = "__metadata__"
DTYPES: Dict[str, Any] = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1",
}
NAMES = {np.dtype(value): name for name, value in DTYPES.items() if name != "BF16"}


class SafetensorsError(ValueError):
    """The file is not what it should be; says which file and tensor."""


def to_bf16(values: NDArray[Any]) -> NDArray[Any]:
    """float32 as the bits of bfloat16 (uint16), rounded to nearest, ties to even. NaN stays NaN."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    quiet = (bits >> np.uint32(16)) | np.uint32(0x0040)
    return np.where(np.isnan(values), quiet, rounded).astype(np.uint16)


def from_bf16(bits: NDArray[Any]) -> NDArray[Any]:
    """The bits of bfloat16 (uint16) as float32; exact."""
    return (np.asarray(bits, np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)


def _no_repeats(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise SafetensorsError("a name stands twice in the header")
    return out


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


class _Entry:
    """A tensor as the header has it."""

    def __init__(self, name: str, raw: Any):
        if not isinstance(raw, dict) or set(raw) != {"dtype", "shape", "data_offsets"}:
            raise SafetensorsError(f'tensor "{name}" is not just dtype, shape and data_offsets')
        shape, offsets = raw["shape"], raw["data_offsets"]
        if raw["dtype"] not in DTYPES:
            raise SafetensorsError(f'tensor "{name}" has the unknown dtype {raw["dtype"]!r}')
        if not isinstance(shape, list) or not all(map(_whole, shape)):
            raise SafetensorsError(f'tensor "{name}": its shape is no list of sizes')
        if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_whole, offsets)):
            raise SafetensorsError(f'tensor "{name}": its data_offsets are not begin and end')
        self.name, self.dtype, self.shape = name, raw["dtype"], tuple(shape)
        self.begin, self.end = offsets
        self.count = 1
        for size in shape:
            self.count *= size
        if self.end - self.begin != self.count * np.dtype(DTYPES[self.dtype]).itemsize:
            raise SafetensorsError(f'tensor "{name}": its range does not fit its shape and dtype')


def _read_header(file: Any, size: int) -> Tuple[int, Dict[str, Any]]:
    start = file.read(8)
    length = struct.unpack("<Q", start)[0] if len(start) == 8 else HEADER_MOST + 1
    if length > HEADER_MOST or length > size - 8:
        raise SafetensorsError("no header of that length is possible")
    try:
        header = json.loads(file.read(length).decode("utf-8"), object_pairs_hook=_no_repeats)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise SafetensorsError(f"the header is no JSON: {error}") from error
    if not isinstance(header, dict):
        raise SafetensorsError("the header is no object")
    return 8 + length, header


def _check_cover(entries: List[_Entry], size: int) -> None:
    end = 0
    for entry in sorted(entries, key=lambda e: (e.begin, e.end)):
        if entry.begin != end:
            raise SafetensorsError(f'tensor "{entry.name}" overlaps another or leaves a gap')
        end = entry.end
    if end != size:
        raise SafetensorsError(f"the tensors end at byte {end}, the file's data at {size}")


def read_with_metadata(path: Path) -> Tuple[Dict[str, NDArray[Any]], Dict[str, str]]:
    """All tensors, in the order of the header, and `__metadata__`. Raises SafetensorsError, OSError."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            data_at, header = _read_header(file, size)
            metadata = header.pop(METADATA, {})
            if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
                raise SafetensorsError(f"{METADATA} is no object of texts")
            entries = [_Entry(name, raw) for name, raw in header.items()]
            _check_cover(entries, size - data_at)
            tensors = {}
            for entry in entries:
                file.seek(data_at + entry.begin)
                flat = np.fromfile(file, np.dtype(DTYPES[entry.dtype]), entry.count)
                if flat.size != entry.count:
                    raise SafetensorsError(f'the file ends in tensor "{entry.name}"')
                flat = from_bf16(flat) if entry.dtype == "BF16" else flat
                tensors[entry.name] = flat.reshape(entry.shape)
            return tensors, metadata
    except SafetensorsError as error:
        raise SafetensorsError(f"{path}: {error}") from error


def read(path: Path) -> Dict[str, NDArray[Any]]:
    """All tensors, in the order of the header. Raises SafetensorsError, OSError."""
    return read_with_metadata(path)[0]


def write(path: Path, tensors: Mapping[str, NDArray[Any]], metadata: Optional[Mapping[str, str]] = None,
          bf16: Collection[str] = ()) -> None:
    """Write a file whole or not at all, in the order of `tensors`. Raises SafetensorsError, OSError.

    `bf16`: names of tensors, of float32, that are written in that dtype.
    """
    header: Dict[str, Any] = {METADATA: dict(metadata)} if metadata else {}
    arrays = []
    at = 0
    for name, value in tensors.items():
        array = np.asarray(value)
        array = to_bf16(array) if name in bf16 else array
        dtype = "BF16" if name in bf16 else NAMES.get(array.dtype.newbyteorder("<"))
        if dtype is None or name == METADATA:
            raise SafetensorsError(f'tensor "{name}" of dtype {array.dtype} cannot be written')
        header[name] = {"dtype": dtype, "shape": list(np.shape(value)),
                        "data_offsets": [at, at + array.nbytes]}
        arrays.append(np.ascontiguousarray(array, array.dtype.newbyteorder("<")))
        at += array.nbytes
    text = json.dumps(header, ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)  # the floats start at a multiple of 8
    beside = f"{os.fspath(path)}.{os.getpid()}.part"
    try:
        with open(beside, "wb") as out:
            out.write(struct.pack("<Q", len(text)) + text)
            for array in arrays:
                array.tofile(out)
        os.replace(beside, path)
    except BaseException:
        if os.path.exists(beside):
            os.unlink(beside)
        raise
