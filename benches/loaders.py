"""Programs that read batches of rows: ours, and the peers'.

Each defines `batches()`, which gives pairs of int64 arrays or tensors of (B, T) without end: what the model reads, and
the same one token later. `TIMED` asks for them. What the peers need on disk is made by `PREPARE`, from the ids of
nanoGPT's file.
"""

import importlib.util
from dataclasses import dataclass

# With a second thread PyTorch splits the copying of 32,768 ids, and waiting for it takes longer than the copying.
TIMED = """
import time
if "torch" in sys.modules:
    sys.modules["torch"].set_num_threads(1)
stream = batches()
rows = args["rows"]
started = time.perf_counter()
while time.perf_counter() - started < args["seconds"] / 3:  # page cache, worker processes
    inputs, targets = next(stream)
assert tuple(inputs.shape) == tuple(targets.shape) == (rows, args["row_tokens"]) and "int64" in str(inputs.dtype)
assert (inputs[:, 1:] == targets[:, :-1]).all() or args["best_fit"]
count, started = 0, time.perf_counter()
while (seconds := time.perf_counter() - started) < args["seconds"]:
    for _ in range(16):
        inputs, targets = next(stream)
    count += 16
rate = count * rows * args["row_tokens"] / seconds
print(json.dumps({"version": version, "tokens_per_second": rate}), flush=True)
import os
os._exit(0)  # not every peer's threads end when asked
"""

_LOADER = """
from slm import __version__ as version
from slm.data.dataset import TokenDataset
from slm.data.loader import Loader
from slm.data.mixture import Mixture

def batches():
    data = TokenDataset(args["shards"])
    if args.get("mixed"):
        data = Mixture([data, TokenDataset(args["more_shards"])], [0.7, 0.3])
    options = {"packing": "best_fit" if args["best_fit"] else "stream", "with_boundaries": bool(args.get("boundaries"))}
    for batch in Loader(data, row_tokens=args["row_tokens"], batch_rows=args["rows"], seed=0, **options):
        yield batch.input_ids_BT, batch.target_ids_BT
"""

_ROW_DATASET = """
import slm
from slm import __version__ as version
from torch.utils.data import DataLoader

def batches():
    dataset = slm.RowDataset(args["shards"], row_tokens=args["row_tokens"], batch_rows=args["rows"], seed=0)
    for batch in DataLoader(dataset, batch_size=None, num_workers=args["workers"]):
        yield batch["input_ids"], batch["target_ids"]
"""

# What `get_batch` in its `train.py` does, the file mapped anew for each batch as there.
_NANOGPT = """
import numpy as np, torch
version = "train.py"

def batches():
    T = args["row_tokens"]
    while True:
        data = np.memmap(args["bin"], dtype=np.uint16, mode="r")
        starts = torch.randint(len(data) - T, (args["rows"],))
        x = torch.stack([torch.from_numpy(data[i : i + T].astype(np.int64)) for i in starts])
        y = torch.stack([torch.from_numpy(data[i + 1 : i + 1 + T].astype(np.int64)) for i in starts])
        yield x, y
"""

_LITDATA = """
from litdata import StreamingDataLoader, StreamingDataset, TokensLoader, __version__ as version

def batches():
    tokens = TokensLoader(block_size=args["row_tokens"] + 1)
    dataset = StreamingDataset(args["litdata"], item_loader=tokens, shuffle=True, drop_last=True)
    loader = StreamingDataLoader(
        dataset, batch_size=args["rows"], num_workers=args["workers"], persistent_workers=args["workers"] > 0
    )
    while True:
        for ids in loader:
            ids = ids.long()
            yield ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
"""

_STREAMING = """
import numpy as np, torch
from streaming import StreamingDataset, __version__ as version
from torch.utils.data import DataLoader

def collate(samples):
    ids = torch.from_numpy(np.stack([sample["tokens"] for sample in samples]).astype(np.int64))
    return ids[:, :-1].contiguous(), ids[:, 1:].contiguous()

def batches():
    dataset = StreamingDataset(local=args["mds"], batch_size=args["rows"], shuffle=True)
    loader = DataLoader(
        dataset, batch_size=args["rows"], num_workers=args["workers"], collate_fn=collate, drop_last=True,
        persistent_workers=args["workers"] > 0,
    )
    while True:
        yield from loader
"""

PREPARE = {
    "slm": """
import numpy as np, slm
rng = np.random.default_rng(0)
slm.train_tokenizer(args["text"], vocab_size=2_000, documents="line", out=args["tokenizer"])
tokenizer = slm.Tokenizer.load(args["tokenizer"])
ids = rng.integers(1, tokenizer.vocab_size, args["tokens"]).astype(np.uint16)
ids[ids == tokenizer.end_of_text_id] = 1
# Documents of about 900 tokens in the mean, half of them shorter than 500.
ends = np.cumsum(rng.lognormal(6.2, 1.1, args["tokens"] // 300).astype(np.int64) + 2)
ids[ends[ends < len(ids)]] = tokenizer.end_of_text_id
ids.tofile(args["bin"])
for out, part in ((args["shards"], ids), (args["more_shards"], ids[: len(ids) // 10])):
    part.tofile(out + ".bin")
    slm.import_shards(out + ".bin", args["tokenizer"], out, format="nanogpt", shard_tokens=args["tokens"] // 4)
print(json.dumps({}))
""",
    "litdata": """
import numpy as np, os, torch
from litdata.streaming.item_loader import TokensLoader
from litdata.streaming.writer import BinaryWriter
ids, block = np.fromfile(args["bin"], np.uint16), args["row_tokens"] + 1
writer = BinaryWriter(args["litdata"], chunk_size=block * 8_192, item_loader=TokensLoader(block_size=block))
for number, start in enumerate(range(0, len(ids) // block * block, block)):
    writer[number] = torch.from_numpy(ids[start : start + block].copy())
writer.done()
writer.merge(1)
print(json.dumps({}))
""",
    "mosaicml-streaming": """
import numpy as np
from streaming import MDSWriter
ids, block = np.fromfile(args["bin"], np.uint16), args["row_tokens"] + 1
with MDSWriter(out=args["mds"], columns={"tokens": f"ndarray:uint16:{block}"}) as out:
    for start in range(0, len(ids) - block + 1, block):
        out.write({"tokens": ids[start : start + block]})
print(json.dumps({}))
""",
}


@dataclass(frozen=True)
class System:
    """A way to read batches."""

    name: str
    program: str
    arguments: dict[str, object]
    needs: str | None = None
    """Module of the peer."""
    prepare: str | None = None
    """Name in `PREPARE` of what makes its files."""
    is_peer: bool = False

    @property
    def is_installed(self) -> bool:
        """Whether the peer can be imported."""
        return self.needs is None or importlib.util.find_spec(self.needs) is not None


SYSTEMS = (
    System("slm Loader", _LOADER, {}),
    System("slm Loader, boundaries", _LOADER, {"boundaries": True}),
    System("slm Loader, best fit", _LOADER, {"best_fit": True}),
    System("slm Loader, two directories", _LOADER, {"mixed": True}),
    System("slm RowDataset", _ROW_DATASET, {}),
    System("slm RowDataset, 2 workers", _ROW_DATASET, {"workers": 2}),
    System("nanogpt", _NANOGPT, {}, is_peer=True),
    *(
        System(f"{name}{', 2 workers' if workers else ''}", program, {"workers": workers}, module, name, is_peer=True)
        for name, program, module in (
            ("litdata", _LITDATA, "litdata"),
            ("mosaicml-streaming", _STREAMING, "streaming"),
        )
        for workers in (0, 2)
    ),
)
