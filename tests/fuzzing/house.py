"""What users write, and our own files as a crash or another hand may leave them."""

import dataclasses
import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from tests.fuzzing import ROOT, Target, folder, on_disk

PERIOD = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC))


def regions() -> Iterator[Target]:
    """Region files, in YAML and in JSON, which is YAML too."""
    import yaml

    from skymend.pipelines.region import grids, load_region

    def read(path: Path) -> None:
        grids(load_region(path))

    for path in sorted((ROOT / "config").glob("*.yaml")):
        yield path.name, path.read_bytes(), on_disk(folder() / path.name, read)
        document = json.dumps(yaml.safe_load(path.read_bytes()), default=str).encode()
        yield f"{path.name} in JSON", document, on_disk(folder() / path.name, read)


def stores() -> Iterator[Target]:
    """A store: its mark, its records, the pointers to them."""
    from skymend.core.cache import list_store, verify_store
    from skymend.core.store import LocalStore

    def read(path: Path) -> None:
        root = next(p for p in path.parents if p.name == "store")
        store = LocalStore(root)
        store.prepare()
        store.record("fuse", "0" * 64)
        store.record_with_content("fuse", "1" * 64)
        list_store(root, as_json=True)
        list_store(root)
        verify_store(root)

    for name in ("store.json", f"records/fuse/{'0' * 64}.json", f"content/fuse/{'1' * 64}.json"):
        root = folder() / "store"
        _fill(LocalStore(root))
        yield name, (root / name).read_bytes(), on_disk(root / name, read)


def _fill(store) -> None:
    from skymend.core.record import Record

    store.prepare()
    place = store.root / "scenes/31TFJ/2020-05-06/fuse-00000000/values.tif"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"values")
    record = Record(
        key="0" * 64,
        step="fuse",
        version=1,
        status="done",
        tags={"tile": "31TFJ", "date": "2020-05-06"},
        outputs={"values": store.take(place)},
        facts={"pixels": 3},
        content_key="1" * 64,
        seconds=1.5,
    )
    # The time at which the file was written would be another in each run.
    files = tuple(f.model_copy(update={"mtime_ns": 0}) for f in record.outputs["values"].files)
    output = record.outputs["values"].model_copy(update={"files": files})
    store.write_record(record.model_copy(update={"outputs": {"values": output}}))


def plans() -> Iterator[Target]:
    """Plans, and the snapshots of searches that they freeze."""
    from skymend.core.plan import FrozenFile, FrozenProduct, Job, Plan
    from skymend.pipelines.snapshot import Snapshot

    def plan(path: Path) -> None:
        found = Plan.read(path)
        _ = found.by_key, found.digest, found.as_text()
        _ = [(job.upstream(), job.label) for job in found.jobs]
        _ = [product.identity for product in found.products.values()]

    def snapshot(path: Path) -> None:
        held = Snapshot(path)
        held.freeze([], PERIOD)
        held.save()

    tags = {"tile": "31TFJ", "date": "2020-05-06", "datetime": "2020-05-06T10:50:31+00:00"}
    file = FrozenFile("https://localhost/B04.jp2", 9, "md5:" + "0" * 32)
    product = FrozenProduct("P1", "safe-l2a", "products/P1", tags, (file,))
    inputs = {"product": [product.identity], "mask": ["1" * 64]}
    job = Job("0" * 64, "fuse", 1, {"a": 1.5}, inputs, tags, "scenes/a", {"values": "values.tif"})
    text = Plan("reconstruct", "tiny", (job,), {product.identity: product}, (job.key,)).as_text()
    yield "plan.json", text.encode(), on_disk(folder() / "plan.json", plan)
    document = {"products": {"safe-l2a/P1": dataclasses.asdict(product)}, "checksums": {}}
    content = json.dumps(document).encode()
    yield "snapshot.json", content, on_disk(folder() / "snapshot.json", snapshot)


def downloads() -> Iterator[Target]:
    """Journals of parts, the ledger of a machine with its quarantine, cached tokens."""
    yield _journal()
    yield from _ledgers()
    yield _tokens()


def _journal() -> Target:
    from skymend.sources.transfer.answers import Version
    from skymend.sources.transfer.intervals import Interval
    from skymend.sources.transfer.part import Part
    from skymend.sources.transfer.types import Remote

    remote = Remote("https://localhost/a", "s3", "a")

    def resume(path: Path) -> None:
        part = Part(path.with_suffix(""), remote)
        part.path.write_bytes(bytes(5000))
        assert part.try_open()
        try:
            part.resume(verifiable=True)
            part.begin(Version(9000, '"e"', True))
            part.note(Interval(0, 10))
        finally:
            part.close()

    part = Part(folder() / "a.part", remote)
    assert part.try_open()
    part.begin(Version(9000, '"etag"', True))
    part.note(Interval(0, 4000))
    document, _, rest = part.journal.read_bytes().partition(b"\n")
    part.close()
    boot = json.loads(document)["boot"].encode()
    content = document.replace(boot, b"0" * len(boot)) + b"\n" + rest
    return "journal", content, on_disk(folder() / "a.part.journal", resume)


def _ledgers() -> Iterator[Target]:
    from skymend.core.errors import ConfigError
    from skymend.sources.transfer.ledger import Ledger, Limits
    from skymend.sources.transfer.types import Remote

    limits = {"s3": Limits(requests_per_minute=6, bytes_per_30_days=10**9)}
    remote = Remote("https://localhost/a", "s3", "a")

    def use(path: Path) -> None:
        ledger = Ledger(path.parents[1], limits, clock=lambda: 1.6e9)
        ledger.turn("s3")
        ledger.spend("s3", 100)
        ledger.pause("s3", 3.0)
        ledger.room("s3")
        ledger.quarantined(remote)
        ledger.bad_digest(remote, "md5:1")
        with suppress(ConfigError):
            ledger.release(remote)

    ledger = Ledger(folder(), limits, clock=lambda: 1.6e9)
    ledger.turn("s3")
    ledger.spend("s3", 100)
    ledger.pause("s3", 3.0)
    ledger.bad_digest(remote, "md5:0")
    ledger.bad_digest(remote, "md5:0")
    for path in sorted(ledger.folder.rglob("*")):
        if path.is_file() and "lock" not in path.name:
            own = folder() / path.relative_to(ledger.folder)
            yield f"ledger {path.name}", path.read_bytes(), on_disk(own, use)


def _tokens() -> Target:
    from skymend.sources.credentials import Credentials
    from skymend.sources.tokens import TokenChain, Tokens

    def chain(cache: Path) -> TokenChain:
        login = {"cdse": {"username": "somebody", "password": "x"}}
        return TokenChain(
            "cdse", "https://localhost/token", "cdse-public", Credentials(login), cache
        )

    def read(path: Path) -> None:
        tokens = chain(path.parents[1])._read()
        _ = tokens.fresh(1.6e9), tokens.refreshable(1.6e9), tokens.busy_until > 1.6e9
        assert isinstance(tokens.access, str)

    path = chain(folder())._path
    content = json.dumps(dataclasses.asdict(Tokens("access", "refresh", 2e9, 2e9))).encode()
    return "tokens", content, on_disk(path, read)


def trained() -> Iterator[Target]:
    """Layouts, cards of bundles, scores, statistics of scenes, checkpoints."""
    import io

    import numpy as np

    from skymend.inference.checkpoint import Checkpoint
    from skymend.patches.layout import load_layout
    from skymend.patches.presets import preset
    from skymend.patches.stats import SceneStats, read_stats, write_stats
    from skymend.training.loop import _read

    layout = preset("crga-os2").as_json()
    yield "layout.json", json.dumps(layout).encode(), on_disk(folder() / "l.json", load_layout)
    path, share = folder() / "stats.parquet", np.ones((3, 4), np.float32)
    write_stats(path, SceneStats("S2A", "sentinel-2", PERIOD[0], share, share, share))
    yield path.name, path.read_bytes(), on_disk(folder() / path.name, read_stats)
    place = folder() / "cells.txt"
    cells = f"{Checkpoint(place, {'a': 1}).identity}\n[[0, 0], [0, 64]]\n[[64, 0]]\n".encode()
    yield "cells.txt", cells, on_disk(place, lambda p: Checkpoint(p, {"a": 1}).load())
    arrays = io.BytesIO()
    np.savez(arrays, w0=share, meta=np.frombuffer(b'{"step": 1}', np.uint8))
    yield "checkpoint.npz", arrays.getvalue(), on_disk(folder() / "a.npz", _read)


def patches() -> Iterator[Target]:
    """A patch store: its card, its samples, its arrays."""
    import shutil

    import numpy as np

    from skymend.patches.card import KeySpec, StoreCard
    from skymend.patches.store import PatchStore, StoreWriter, sample_dtype

    def read(path: Path) -> None:
        store = PatchStore(path.parent)
        store.decode(store.batch([0, 3]))
        _ = store.split("train"), store.times
        store.verify()

    keys = (KeySpec(name="s2_t", kind="optical", acquisition="t", bands=("B02",), size=4),)
    card = StoreCard(keys=keys, samples=4, splits={"train": 4}, patch_size=4, resolution_m=10.0)
    home = folder()
    with StoreWriter(home / "patches", keys, np.zeros(4, sample_dtype(1))) as writer:
        writer.write("s2_t", range(4), np.full((4, 4, 4, 1), 900, np.int16))
        writer.finish(card)
    for path in sorted((home / "patches").iterdir()):
        own = shutil.copytree(home / "patches", folder() / "patches")
        yield path.name, path.read_bytes(), on_disk(own / path.name, read)


def cards() -> Iterator[Target]:
    """The card of a bundle, and a table of scores."""
    from skymend.evaluate.scores import ScoreRow, read_scores, write_scores
    from skymend.models.bundle import read_card
    from skymend.models.card import Card
    from skymend.models.registry import architecture
    from skymend.training.normalise import input_specs, output_specs

    name, optical = "crga-os2-tiny", ("B02", "B03", "B04", "B08")
    spec = architecture(name)
    bands = {key: optical if n == 4 else ("VV", "VH") for key, n in spec.channels}
    card = Card(
        name=name,
        architecture=name,
        uncertainty=True,
        inputs=input_specs(spec, bands),
        outputs=output_specs(spec, optical, True),
        margin=spec.margin,
        stride=spec.stride,
        licence="CC0-1.0",
    )
    content = card.model_dump_json().encode()
    yield "card.json", content, on_disk(folder() / "card.json", lambda p: read_card(p.parent))
    sums = dict.fromkeys(("abs_sum", "sq_sum", "err_sum", "within"), (1.5,))
    row = ScoreRow(
        date="20230405",
        shape="20230410",
        method="linear",
        gap_class="10-20",
        stratum="stable",
        bands=("B04",),
        pixels=9,
        sam_sum=0.1,
        ssim_sum=0.9,
        ssim_pixels=9,
        **sums,
    )
    path = folder() / "scores.json"
    write_scores(path, [row])
    yield path.name, path.read_bytes(), on_disk(path, read_scores)


TARGETS = {
    "regions": regions,
    "stores": stores,
    "plans": plans,
    "downloads": downloads,
    "trained": trained,
    "patches": patches,
    "cards": cards,
}
