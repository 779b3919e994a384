"""Arrays and tables on disk, and the one door between uint8 images and tensors."""

import errno
import hashlib
import json

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..core.errors import UserError
from ..core.store import atomic


def save_array(path, array):
    with atomic(path) as part:
        try:
            np.save(part, array, allow_pickle=False)
        except OSError as error:
            if error.errno is None:  # numpy's report of a short write names neither cause nor file
                raise OSError(errno.ENOSPC, "No space left on device", str(path)) from error
            raise


def stream_array(path, n, parts):
    """Write `n` rows that come in parts into one file, so that memory holds one part; returns load_array."""
    # not a memory map: that ends in a signal, not in an error, where the disk is full
    with atomic(path) as temporary, open(temporary, "wb") as file:
        for i, rows in enumerate(parts):
            rows = np.ascontiguousarray(rows)
            if i == 0:
                kind = np.lib.format.header_data_from_array_1_0(rows)
                kind["shape"] = (n, *rows.shape[1:])
                np.lib.format.write_array_header_1_0(file, kind)
            file.write(rows.data)
    return load_array(path)


BLOCK = 1024  # rows that pass through memory at a time


def blocks(n):
    """Slices of BLOCK rows over n rows."""
    return [slice(i, min(i + BLOCK, n)) for i in range(0, n, BLOCK)]


def map_array(path, function, array):
    """Write function(block) of each block of rows of an array into one file; returns load_array."""
    return stream_array(path, len(array), (function(array[part]) for part in blocks(len(array))))


class Rows:
    """Some rows of arrays, one after the other, read when they are asked for: memory holds no copy.

    Rows((array, rows), ...): rows are numbers or a mask. Takes slices and arrays of numbers.
    """

    def __init__(self, *parts):
        self.parts = [(a, np.arange(len(a))[rows]) for a, rows in parts]
        self.ends = np.cumsum([0, *(len(rows) for _, rows in self.parts)])
        first = self.parts[0][0]
        self.shape, self.dtype = (int(self.ends[-1]), *first.shape[1:]), first.dtype

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, index):
        index = np.arange(len(self))[index]
        out = np.empty((len(index), *self.shape[1:]), self.dtype)
        for (array, rows), start, end in zip(self.parts, self.ends, self.ends[1:], strict=False):
            own = (index >= start) & (index < end)
            out[own] = array[rows[index[own] - start]]
        return out

    def __array__(self, dtype=None, copy=None):
        return self[:] if dtype is None else self[:].astype(dtype)


def content_hash(array, *more):
    """SHA-256 of an array's shape and bytes, read in parts, and of further strings."""
    digest = hashlib.sha256(repr((array.shape, str(array.dtype), more)).encode())
    for i in range(0, len(array), 256):
        digest.update(np.ascontiguousarray(array[i : i + 256]))
    return digest.hexdigest()[:24]


def load_array(path):
    """Read-only, memory-mapped."""
    return np.load(path, mmap_mode="r", allow_pickle=False)


_SAFE = {  # names that safetensors gives to types
    torch.float32: "F32",
    torch.float64: "F64",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.bool: "BOOL",
}


def load_weights(path):
    """{name: tensor} of a .safetensors file; raises UserError where it is broken."""
    try:
        return load_file(path)
    except SafetensorError as error:
        remedy = f"remove {path.parent}, the next run makes it again"
        raise UserError(f"{path}: broken weights ({error}); {remedy}") from error


def save_weights(path, weights, facts):
    """Write {name: tensor} and {name: text} as .safetensors, tensor by tensor: memory holds no copy of all,
    as that of the library that reads them does, twice."""
    weights = dict(sorted(weights.items(), key=lambda item: -item[1].element_size()))  # aligned
    header, end = {"__metadata__": facts}, 0
    for name, x in weights.items():
        start, end = end, end + x.numel() * x.element_size()
        kind = dict(dtype=_SAFE[x.dtype], shape=list(x.shape), data_offsets=[start, end])
        header[name] = kind
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with atomic(path) as part, open(part, "wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for x in weights.values():
            file.write(x.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)


def fill(model, path):
    """Put the weights of a .safetensors file into a model; raises UserError where they are not its own."""
    try:
        model.load_state_dict(load_weights(path))
    except RuntimeError as error:
        wrong, remedy = "not this network's weights", "the next run makes it again"
        raise UserError(f"{path}: {wrong}; remove {path.parent}, {remedy}") from error


SYMMETRIES = 8  # of a square


def turned(x, k):
    """Arrays (N,H,W,...) turned by k quarters, from k = 4 on mirrored as well: a dermatoscope has no upright."""
    return np.rot90(x[:, :, ::-1] if k >= 4 else x, k % 4, (1, 2))


def to_tensor(images):
    """uint8 (N,H,W,3) -> float32 (N,3,H,W) in [-1, 1]."""
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_uint8(x):
    """float (N,3,H,W) in [-1, 1] -> uint8 (N,H,W,3); values outside are clipped, never stretched."""
    x = (x.float().clamp(-1, 1) + 1) * 127.5
    return x.round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def records_of(made):
    """The table of a set, one row an image, in the order of its arrays."""
    return pd.read_csv(made / "records.csv", keep_default_na=True, dtype={"mask_path": str})


def labels_of(records, classes):
    """(N,) int64 class numbers of the column dx. Raises UserError on a code that is not a class."""
    wrong = set(records.dx) - set(classes)
    if wrong:
        raise UserError(f"unknown diagnosis code {sorted(wrong)[0]!r}; known: {', '.join(classes)}")
    return records.dx.map({c: i for i, c in enumerate(classes)}).to_numpy(np.int64)


def spread(total, n):
    """Numbers of at most n of `total` rows, from all over a set, whose table may be sorted by class."""
    return np.unique(np.linspace(0, total - 1, n).astype(int))
