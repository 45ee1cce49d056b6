"""The store in an S3 bucket.

Jobs run in a working folder of this machine, laid out as the store is. Outputs are uploaded
under their final names, each part with its checksum; the record is written last. Rasters then
leave the working folder and are read by windows through GDAL's own S3 driver; other inputs
(tables, patch stores, bundles) are brought here once, verified against their record. A copy of
each record stays here too, because Snakemake waits for files.

Trust: an object is taken for what its record says while size and ETag agree; otherwise, and
with ``verify``, it is read and its checksum computed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import md5
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from skymend.core import s3lock
from skymend.core.files import file_lock, held_locks, machine_cache, store_errors, write_text
from skymend.core.keys import canonical_json, digest
from skymend.core.layout import (
    FORMAT,
    JOB_FOLDER,
    check_marker,
    content_name,
    describe_file,
    files_of,
    foreign,
    has_mark,
    job_folders,
    local_litter,
    marks_of,
    no_store,
    parse_record,
    pointed_key,
    record_name,
)
from skymend.core.mounts import RASTERS, Content, mount
from skymend.core.record import Output, OutputFile, Record
from skymend.core.s3objects import CONNECTIONS, Address, Objects, Stored

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
R = TypeVar("R")

FOLDER_VARIABLE = "SKYMEND_STORE_FOLDER"
"""Environment variable: the working folder, where it lies elsewhere than this machine's cache;
set for a job in a container, which sees the folder of the machine it runs on."""

_MARKER = "store.json"
_UPLOADING = "upload:"


class S3Store:
    """A store below ``s3://bucket/prefix``.

    Parameters
    ----------
    uri : the address. Endpoint and credentials come from the environment (``AWS_*``) and the
        shared AWS files.
    objects : the objects there; for tests.
    """

    def __init__(self, uri: str, *, objects: Objects | None = None) -> None:
        self.address = Address.parse(uri)
        self.uri = self.address.uri()
        self.objects = objects or Objects(self.address)
        self.root = _working_folder(self.address)
        self._locks = self.root / "locks"
        self._made = False
        self._mount = mount(self.root, "/vsi" + self.uri.replace("://", "/"), self._fetch_raster)

    def prepare(self) -> None:
        """Create the store, or check that the prefix is one and can be written.

        Raises
        ------
        StoreError
            if there is no such bucket, no access to it, or something else below the prefix.
        RetryableError
            if the endpoint cannot be reached.
        """
        marker = self.objects.get(_MARKER)
        if marker is None and any(True for _ in self.objects.list("", most=1)):
            marker = self.objects.get(_MARKER)  # another process may have begun in between
            if marker is None:
                raise foreign(self.uri, "an empty prefix", "other objects")
        if marker is None:
            made = self.objects.put(_MARKER, _text(FORMAT).encode(), absent=True)
            self._made = made is not None
        else:
            check_marker(self.address.uri(_MARKER), marker.data)
            # The same bytes over the same object: fails without the right to write.
            self.objects.put(_MARKER, marker.data, match=marker.etag)
        lead_gdal(self.objects)
        write_text(self.root / _MARKER, _text(FORMAT))

    def withdraw(self) -> None:
        """Take away again what :meth:`prepare` has made, unless something else is there by now."""
        if self._made and [s.path for s in self.objects.list("", most=2)] == [_MARKER]:
            self.objects.delete([_MARKER])
            shutil.rmtree(self.root, ignore_errors=True)
        self._made = False

    def check(self) -> None:
        """Make sure that the prefix is a store.

        Raises
        ------
        StoreError
            if it is none, or cannot be read.
        """
        if self.objects.get(_MARKER) is None:
            raise no_store(self.uri)
        lead_gdal(self.objects)

    def record(self, step: str, key: str) -> Record | None:
        """Return the record of a job, or None when it has none; its copy here follows."""
        name = record_name(step, key)
        found = self.objects.get(name)
        if found is None:
            (self.root / name).unlink(missing_ok=True)
            return None
        record = parse_record(self.address.uri(name), found.data)
        write_text(self.root / name, found.data.decode())
        return record

    def known(self, jobs: Iterable[tuple[str, str]]) -> dict[str, Record]:
        """Return the records of many jobs; only those that changed are fetched."""
        wanted = list(jobs)
        listed = {
            stored.path: stored
            for step in sorted({step for step, _ in wanted})
            for stored in self.objects.list(f"records/{step}/")
        }
        records = self._parallel(lambda job: self._known(*job, listed), wanted)
        return {record.key: record for record in records if record is not None}

    def _known(self, step: str, key: str, listed: dict[str, Stored]) -> Record | None:
        name = record_name(step, key)
        copy = self.root / name
        if name not in listed:
            copy.unlink(missing_ok=True)
            return None
        text = copy.read_bytes() if copy.exists() else b""
        # ETags of small objects are MD5 sums; where they are not, the record is fetched.
        if md5(text, usedforsecurity=False).hexdigest() == listed[name].etag:
            return parse_record(str(copy), text)
        return self.record(step, key)

    def records(self) -> Iterator[Record]:
        """Yield every record, by step and key."""
        names = [stored.path.split("/") for stored in self.objects.list("records/")]
        jobs = [(parts[1], parts[2].removesuffix(".json")) for parts in names if len(parts) == 3]
        records = self.known(jobs)
        return (records[key] for _, key in jobs if key in records)

    def write_record(self, record: Record) -> None:
        """Write a record, and the pointer from its content key.

        A record that another holder of the job wrote first stays: both made the same bytes.
        """
        name = record_name(record.step, record.key)
        text = _text(record.model_dump(mode="json"))
        if self.objects.put(name, text.encode(), absent=True) is None:
            text = self._first_writer(name, text)
        if record.status == "done" and record.content_key and record.adopted_from is None:
            pointer = content_name(record.step, record.content_key)
            self.objects.put(pointer, _text({"key": record.key}).encode())
        write_text(self.root / name, text)

    def _first_writer(self, name: str, text: str) -> str:
        """Return the record that was there first; one that a conflict kept out is written."""
        found = self.objects.get(name)
        if found is not None:
            return found.data.decode()
        self.objects.put(name, text.encode())
        return text

    def forget(self, step: str, key: str) -> None:
        """Remove the record of a job; its outputs stay."""
        name = record_name(step, key)
        self.objects.delete([name])
        (self.root / name).unlink(missing_ok=True)

    def record_with_content(self, step: str, content_key: str) -> Record | None:
        """Return a finished record with the same content key whose outputs are intact."""
        pointer = self.objects.get(content_name(step, content_key))
        key = None if pointer is None else pointed_key(pointer.data)
        record = None if key is None else self.record(step, key)
        if record is None or record.status != "done" or self.damaged(record):
            return None
        return record

    def damaged(self, record: Record, *, verify: bool = False) -> str | None:
        """Return what is wrong with a record's outputs, or None.

        Size and ETag are trusted; the checksum is computed when the ETag differs, or always
        with ``verify``.
        """
        files = list(record.files())
        heads = self._parallel(self.objects.head, [file.path for file in files])
        judged = zip(files, heads, strict=True)
        problems = (self._damage(file, stored, verify) for file, stored in judged)
        return next((problem for problem in problems if problem), None)

    def damage(self, records: Iterable[Record]) -> dict[str, str]:
        """Return what is wrong with the outputs of many records, by key, from few listings."""
        wanted = [(record.key, file) for record in records for file in record.files()]
        tiles = sorted({"/".join(file.path.split("/")[:2]) + "/" for _, file in wanted})
        listed = {s.path: s for tile in tiles for s in self.objects.list(tile)}
        judged = ((k, self._damage(f, listed.get(f.path), False)) for k, f in wanted)
        return {key: problem for key, problem in judged if problem is not None}

    def _damage(self, file: OutputFile, stored: Stored | None, verify: bool) -> str | None:
        if stored is None:
            return f"{file.path} is missing"
        if stored.size != file.size:
            return f"{file.path} has {stored.size} bytes instead of {file.size}"
        if (verify or stored.etag != file.etag) and self.objects.sha256(file.path) != file.sha256:
            return f"{file.path} has another checksum than its record"
        return None

    def bring(self, record: Record) -> dict[str, Path]:
        """Make the outputs of a record readable here; return output name -> path.

        Rasters stay where they are, and are opened through the mount of the working folder.
        """
        lead_gdal(self.objects)
        self._mount.expect(record.files())
        wanted = [
            file
            for output in record.outputs.values()
            if not _is_raster(output)
            for file in output.files
        ]
        self._parallel(self._fetch, wanted)
        return {name: self.root / output.path for name, output in record.outputs.items()}

    def _fetch(self, file: OutputFile) -> None:
        path = self.root / file.path
        if path.exists():
            status = path.stat()
            if (status.st_size, status.st_mtime_ns) == (file.size, file.mtime_ns):
                return
        self.objects.download(file.path, path, file.sha256)
        os.utime(path, ns=(file.mtime_ns, file.mtime_ns))

    def _fetch_raster(self, path: str, content: Content) -> None:
        self.objects.download(path, self.root / path, content.sha256)

    def take(self, path: Path) -> Output:
        """Upload a finished output (file or folder below ``root``) and describe it."""
        files = tuple(self._parallel(self._upload, files_of(path)))
        output = Output(path=path.relative_to(self.root).as_posix(), files=files)
        if _is_raster(output):
            self._mount.expect(files)
            path.unlink()
        return output

    def _upload(self, path: Path) -> OutputFile:
        file = describe_file(self.root, path)
        stored = self.objects.upload(path, file.path, file.sha256)
        return file.model_copy(update={"etag": stored.etag})

    def adopt(self, twin: Record, folder: str, part: Path) -> dict[str, Output]:
        """Copy the outputs of another job to the folder of this one, within the bucket."""
        base = Path(next(iter(twin.outputs.values())).path).parent.as_posix()

        def moved(path: str) -> str:
            return folder + path.removeprefix(base)

        def copied(file: OutputFile) -> OutputFile:
            stored = self.objects.copy(file.path, moved(file.path))
            return file.model_copy(update={"path": stored.path, "etag": stored.etag})

        return {
            name: Output(path=moved(output.path), files=tuple(self._parallel(copied, output.files)))
            for name, output in twin.outputs.items()
        }

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Hold the lock of a job: a file on this machine, a conditional write between machines.

        A holder whose heartbeat fails may lose the second to another machine, which works in a
        folder of its own. The first it keeps while it lives: two processes of one machine would
        work in the same folder.
        """
        with file_lock(self._locks / f"{key}.lock"), s3lock.hold(self.objects, f"locks/{key}.json"):
            yield

    def pull(self, folder: str) -> None:
        """Bring side documents (plans, snapshots) of a folder up to date here."""
        paths = [stored.path for stored in self.objects.list(f"{folder}/")]
        for path, found in zip(paths, self._parallel(self.objects.get, paths), strict=True):
            if found is not None:
                write_text(self.root / path, found.data.decode())
        for copy in (self.root / folder).rglob("*.json"):
            if copy.relative_to(self.root).as_posix() not in paths:
                copy.unlink()

    def push(self, path: Path) -> None:
        """Upload a side document written below ``root``."""
        self.objects.put(path.relative_to(self.root).as_posix(), path.read_bytes())

    def where(self, path: str) -> str:
        """Return the address of a path."""
        return self.address.uri(path)

    def litter(self, records: Iterable[Record]) -> list[str]:
        """Return folders without record, unfinished uploads and leftovers here.

        What belongs to a job whose lock is live is no litter, nor to one that ended since
        ``records`` were read: objects are listed first, then locks, then records, the way a job
        ends.
        """
        found = {m[1] for s in self.objects.list("") if (m := JOB_FOLDER.match(s.path))}
        found |= set(local_litter(self.root))
        uploads = [(p, f"{_UPLOADING}{u}:{p}") for p, u in self.objects.unfinished("")]
        live = self._live_locks() | marks_of(held_locks(self._locks))
        known = job_folders((*records, *self.records()))
        orphans = [name for name in sorted(found - known) if not has_mark(name, live)]
        return orphans + [name for path, name in uploads if not has_mark(path, live)]

    def _live_locks(self) -> set[str]:
        """Return the first eight digits of the keys of jobs that are running somewhere."""
        paths = [stored.path for stored in self.objects.list("locks/")]
        locks = zip(paths, self._parallel(self.objects.get, paths), strict=True)
        life = s3lock.stale_seconds()
        return marks_of(Path(p).stem for p, lock in locks if lock and s3lock.is_live(lock, life))

    def discard(self, names: Iterable[str]) -> None:
        """Remove folders of jobs, and other things that :meth:`litter` named."""
        for name in names:
            if name.startswith(_UPLOADING):
                _, upload, path = name.split(":", 2)
                self.objects.abort(path, upload)
            else:
                self.objects.delete([s.path for s in self.objects.list(f"{name}/")])
                shutil.rmtree(self.root / name, ignore_errors=True)

    def _parallel(self, function: Callable[[T], R], values: Iterable[T]) -> list[R]:
        from concurrent.futures import ThreadPoolExecutor

        many = list(values)
        if len(many) < 2:
            return [function(value) for value in many]
        with store_errors(self.root), ThreadPoolExecutor(CONNECTIONS) as pool:
            return list(pool.map(function, many))


def lead_gdal(objects: Objects) -> None:
    """Let GDAL's S3 driver reach the endpoint that boto3 uses.

    Only where it lies and how it is spoken to; credentials GDAL finds in the same environment
    and files as boto3. In the environment of the process, because GDAL reads in many threads.
    """
    os.environ.setdefault("AWS_REGION", objects.client.meta.region_name or "us-east-1")
    endpoint = objects.endpoint
    if endpoint is not None:
        scheme, _, host = endpoint.rstrip("/").partition("://")
        os.environ["AWS_S3_ENDPOINT"] = host
        os.environ["AWS_HTTPS"] = "YES" if scheme == "https" else "NO"
        os.environ["AWS_VIRTUAL_HOSTING"] = "FALSE"


def _working_folder(address: Address) -> Path:
    given = os.environ.get(FOLDER_VARIABLE)
    if given:
        return Path(given)
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    name = digest([endpoint, address.bucket, address.prefix])[:8]
    return machine_cache().resolve() / "stores" / f"{address.bucket}-{name}"


def _is_raster(output: Output) -> bool:
    return len(output.files) == 1 and (
        output.files[0].path == output.path and Path(output.path).suffix in RASTERS
    )


def _text(document: object) -> str:
    return canonical_json(document) + "\n"
