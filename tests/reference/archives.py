"""Small files of formats that the standard library does not write."""

import base64

# Rows of the columns `id`, `text` (one, two, null, three) and `meta.note`, as the crate `parquet` writes them.
_PARQUET = """
UEFSMRUEFRAVEEwVAhUAEgAABwAAAAAAAAAVABUEFQQsFQgVEBUGFQYAAAAIFQQVLhUuTBUGFQASAAADAAAAb25lAwAAAHR3bwUAAAB0aHJl
ZRUAFRQVFCwVCBUQFQYVBgAAAgAAAAMLAgMkABUEFRAVEEwVAhUAEgAABAAAAG5vdGUVABUEFQQsFQgVEBUGFQYAAAAIGRICGRgIBwAAAAAA
AAAZGAgHAAAAAAAAABUCGRYAABkSAhkYA29uZRkYA3R3bxUCGRYCKSYCBgAZEgIZGARub3RlGRgEbm90ZRUCGRYAABkcFjQVJhYAAAAZHBak
ARU2FgAAGRYWABkcFoYCFSYWAAAZFiAAFQIZXEgBbRUGABUEJQAYAmlkABUMJQIYBHRleHQlAAA1ABgEbWV0YRUCABUMJQAYBG5vdGUAFggZ
HBk8JgAcFQQZNQAGEBkYAmlkFQAWCBZSFlImNCYIHBgIBwAAAAAAAAAYCAcAAAAAAAAAFgAoCAcAAAAAAAAAGAgHAAAAAAAAABERABksFQQV
ABUCABUAFRAVAgAAFsoDFRQWrAIVPgAmABwVDBk1AAYQGRgEdGV4dBUAFggWgAEWgAEmpAEmWhw2AigDdHdvGANvbmUREQAZLBUEFQAVAgAV
ABUQFQIAPBYWKSYCBgAAFt4DFRwW6gIVMgAmABwVDBk1AAYQGSgEbWV0YQRub3RlFQAWCBZSFlImhgIm2gEcNgAoBG5vdGUYBG5vdGUREQAZ
LBUEFQAVAgAVABUQFQIAPBYgAAAW+gMVHBacAxUuABakAhYIJggWpAIUAAAoGXBhcnF1ZXQtcnMgdmVyc2lvbiA2MC4xLjAZPBwAABwAABwA
AAB/AQAAUEFSMQ==
"""


def parquet() -> bytes:
    """A table whose column `text` holds one, two, a null and three."""
    return base64.b64decode(_PARQUET)


def zstandard(content: bytes) -> bytes:
    """A frame of zstd that stores its content as it is, in blocks of 64 KiB (RFC 8878, section 3.1.1)."""
    # No checksum and no size; a window of 1 MiB.
    frame = b"\x28\xb5\x2f\xfd\x00\x50"
    pieces = [content[start : start + 65536] for start in range(0, len(content), 65536)]
    for idx, piece in enumerate(pieces):
        is_last = idx == len(pieces) - 1
        frame += (len(piece) << 3 | is_last).to_bytes(3, "little") + piece
    return frame
