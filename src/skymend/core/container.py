"""Jobs in containers: the ``docker run`` command line that fences a job in.

A job's container has no network (unless its task fetches, or the store is a bucket), a read-only
root, no capabilities and the uid that owns the store. It sees the store (writable; of a bucket,
its working folder), the products it reads (read-only), both at the same path as outside, and a
private ``/tmp`` in memory. So a plan means the same inside and outside, and the lock that the job
takes on the store's file system holds against jobs outside.

A container also must not outlive the run that started it. ``docker run`` alone does not promise
that: a client killed with SIGKILL leaves its container running. Therefore
``python -m skymend.core.container docker run ...`` (:func:`main`) stands between the engine and
the client. It gives the job, as standard input, a pipe that it holds open and never writes to.
The kernel closes it when this process dies, however it dies; a watcher in the container sees the
end of its input and kills the job.
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Literal, NoReturn, TypeAlias

from skymend.core.errors import StoreError, ToolMissingError
from skymend.core.files import machine_cache

IMAGE_UID = 10001
"""The uid of the images' own user; it gets the stores that root makes."""

Reach: TypeAlias = Literal["nothing", "store", "providers"]
"""Whom a job may speak to: nobody, the bucket of its store, or providers of data as well."""

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_ROADS = (
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_", "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE", "SKYMEND_LOCK_",
)  # fmt: skip
_LOGINS = (
    "SKYMEND_", "CDSE_", "EARTHDATA_", "EARTHENGINE_", "GEODES_", "GOOGLE_", "M2M_", "PC_SDK_",
    "SH_", "EODAG_", "NETRC",
)  # fmt: skip
_PASSED: Mapping[Reach, tuple[str, ...]] = {
    "nothing": (),
    "store": (*_ROADS, "AWS_"),
    "providers": (*_ROADS, "AWS_", *_LOGINS),
}
"""Beginnings of the names of variables that a job is given, by its reach."""

_OWN = {"SKYMEND_CACHE", "SKYMEND_STORE_FOLDER"}
_FILES: Mapping[str, str] = {
    "AWS_SHARED_CREDENTIALS_FILE": ".aws/credentials",
    "AWS_CONFIG_FILE": ".aws/config",
    "NETRC": ".netrc",
    "AWS_CA_BUNDLE": "",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "",
    "SSL_CERT_FILE": "",
    "SSL_CERT_DIR": "",
    "REQUESTS_CA_BUNDLE": "",
    "CURL_CA_BUNDLE": "",
    "GOOGLE_APPLICATION_CREDENTIALS": "",
}
"""Variables that name a file or folder, and where it lies in the home folder when they do not."""

_SHARED = ("ledger", "tokens")
"""Folders of the machine's cache that count for all its processes, also in containers."""

_FOREIGN = "/run/skymend"
_TMP_SHARE = 0.5
_PROCESSES = 512

_WATCHER = """\
exec 3<&0
skymend "$@" </dev/null 3<&- &
job=$!
{ cat >/dev/null; kill -KILL "$job"; } <&3 2>/dev/null &
wait "$job"
"""


def container_name(key: str) -> str:
    """Return the container's name for a job key: the same for every attempt of the job."""
    return f"skymend-{key[:16]}"


def docker_command(
    job_argv: Sequence[str],
    image: str,
    store: Path,
    read_only_paths: Iterable[Path],
    uid: int,
    gid: int,
    cpus: int,
    memory_gb: float,
    name: str,
    reach: Reach = "nothing",
) -> list[str]:
    """Return the command line that runs a job in a container.

    Parameters
    ----------
    job_argv : the arguments of ``skymend`` inside the image: ``job``, the plan, the key, ...
    image : an image with ``skymend`` on its PATH. It must be there: nothing is pulled.
    store : the store's folder; mounted writable.
    read_only_paths : files and folders the job reads. Those inside the store or inside one
        another are left out.
    uid, gid : who the job runs as, see :func:`hand_over`. Never root.
    cpus, memory_gb : from the task. More cpus than the machine has are cut to what it has;
        the threads of the numeric libraries stay as many, because results may depend on them.
    name : see :func:`container_name`.
    reach : whom the job speaks to. With anybody, it gets the machine's network and the variables
        that lead there by name, so that no secret shows in the command line.

    Raises
    ------
    StoreError
        if ``uid`` is root's.
    """
    if uid == 0:
        raise _owned_by_root(store)
    store = store.absolute()
    scratch = f"/tmp:rw,nosuid,nodev,mode=1777,size={round(memory_gb * 1024 * _TMP_SHARE)}m"
    return [
        *(sys.executable, "-m", "skymend.core.container"),
        *("docker", "run", "--rm", "--init", "--interactive", "--pull=never"),
        *("--name", name, "--log-driver", "none", "--read-only"),
        *_network(store, reach, uid, gid),
        *limits(uid, gid, cpus, memory_gb),
        *("--pids-limit", str(_PROCESSES)),
        *("--env", f"NUMBA_CACHE_DIR={store / 'cache' / 'numba'}"),
        *(part for variable in _THREADS for part in ("--env", f"{variable}={cpus}")),
        *("--tmpfs", scratch),
        *("--mount", bind(store)),
        *_read_only_mounts(store, read_only_paths),
        *("--workdir", str(store), "--entrypoint", "/bin/sh", image, "-c", _WATCHER, "job"),
        *job_argv,
    ]


def limits(uid: int, gid: int, cpus: int, memory_gb: float) -> list[str]:
    """Return the options that bound a container: no rights, a user, cpus, memory.

    More cpus than the machine has are cut to what it has: Docker would refuse them.
    """
    limit = f"{round(memory_gb * 1024)}m"
    return [
        *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
        *("--user", f"{uid}:{gid}", "--cpus", str(min(cpus, os.cpu_count() or cpus))),
        *("--memory", limit, "--memory-swap", limit),
    ]


def bind(path: Path, *options: str, at: Path | None = None) -> str:
    """Return the value of ``--mount`` that shows a path at its own place, or at another."""
    return _mount("type=bind", f"src={path}", f"dst={at or path}", *options)


def _mount(*fields: str) -> str:
    # Docker reads a mount as one line of CSV, so a comma in a path needs quotes.
    return ",".join(
        f'"{field.replace(chr(34), chr(34) * 2)}"' if "," in field else field for field in fields
    )


def _network(store: Path, reach: Reach, uid: int, gid: int) -> list[str]:
    """Return the options for what a job may reach: network, variables, files with logins.

    Its caches lie in the store, where it can write; what the machine shares, see :func:`_shared`.
    """
    if reach == "nothing":
        return ["--network", "none"]
    beginnings = _PASSED[reach]
    files = {n: p for n, p in _files(uid, gid).items() if n.startswith(beginnings)}
    names = {n for n in os.environ if n.upper().startswith(beginnings)}
    names -= _OWN | {n for n in _FILES if os.environ.get(n) != os.devnull}
    # A folder of its own: those above the files may be closed to the job's user.
    places = {name: Path(_FOREIGN) / name for name in files}
    cache = _shared(uid) if reach == "providers" else None
    own = {"SKYMEND_CACHE": cache or store / "cache", "SKYMEND_STORE_FOLDER": store, **places}
    mounts = [bind(path, "readonly", at=places[name]) for name, path in sorted(files.items())]
    mounts += _cache_mounts(store, cache)
    return [
        *("--network", "host"),
        *(part for n in sorted(names) for part in ("--env", n)),
        *(part for n, path in sorted(own.items()) for part in ("--env", f"{n}={path}")),
        *(part for mount in mounts for part in ("--mount", mount)),
    ]


def _shared(uid: int) -> Path | None:
    """Return the machine's cache if the job's user owns all that is shared there, else None.

    The files are their owner's alone: two users would shut each other out.
    """
    cache = machine_cache().absolute()
    folders = [cache / name for name in _SHARED]
    if os.geteuid() == uid:
        with suppress(OSError):
            for folder in folders:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return cache if all(_owns(uid, folder) for folder in folders) else None


def _owns(uid: int, folder: Path) -> bool:
    """Tell whether a folder is there, and a user owns it with all that lies in it."""
    try:
        owners = {folder.lstat().st_uid}
    except OSError:
        return False
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # a part that has just been moved into place
            owners.add(path.lstat().st_uid)
    return owners == {uid}


def _cache_mounts(store: Path, cache: Path | None) -> list[str]:
    """Return the mounts that show what is shared at its own place; other caches are in memory."""
    if cache is None or cache.is_relative_to(store):
        return []
    memory = _mount("type=tmpfs", f"dst={cache}", "tmpfs-mode=1777", "tmpfs-size=64m")
    return [memory, *(bind(cache / name) for name in _SHARED)]


def _files(uid: int, gid: int) -> dict[str, Path]:
    """Return the files that hold logins and certificates, if the job's user may read them.

    Of others the job is not told: their place on this machine says nothing inside.
    """
    found = {}
    for name, usual in _FILES.items():
        given = os.environ.get(name) or (Path.home() / usual if usual else None)
        path = Path(given).expanduser().absolute() if given else None
        if path is not None and _is_there(path) and _may_read(path, uid, gid):
            found[name] = path
    return found


def _is_there(path: Path) -> bool:
    """Tell a file or folder from a device or nothing; one below a closed folder is not there."""
    try:
        return path.is_file() or path.is_dir()
    except PermissionError:
        return False


def _may_read(path: Path, uid: int, gid: int) -> bool:
    status = path.stat()
    mine = stat.S_IRUSR if status.st_uid == uid else 0
    ours = stat.S_IRGRP if status.st_gid == gid else 0
    return bool(status.st_mode & (mine or ours or stat.S_IROTH))


def run(command: Sequence[str]) -> int:
    """Run ``docker run ...`` with an input that ends with this process; return its exit code.

    A container of the same name, left by an earlier attempt, is removed first; so is this one
    when the wait is interrupted.
    """
    name = command[command.index("--name") + 1]
    remove_leftover(name)
    try:
        # No other child inherits the pipe's end: Python opens it close-on-exec.
        with subprocess.Popen(command, stdin=subprocess.PIPE) as client:
            try:
                return client.wait()
            except BaseException:
                client.kill()
                raise
    except BaseException:
        # Also a signal that comes while the client is being started.
        remove_leftover(name)
        raise


def remove_leftover(name: str) -> None:
    """Remove a container that an earlier attempt may have left; no error when there is none."""
    subprocess.run(["docker", "rm", "--force", name], capture_output=True, check=False)


def check_ready(
    image: str, *, where: str = "--in-containers", fix: str = "build it with `make container-image`"
) -> None:
    """Make sure that Docker answers and has the image.

    Parameters
    ----------
    where, fix : for the sentence, if it has not: who asks, and how the image comes about.

    Raises
    ------
    ToolMissingError
        naming what is missing and the command that brings it.
    """
    try:
        found = subprocess.run(
            ["docker", "image", "inspect", "--format", "{{.Id}}", image],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise ToolMissingError(
            where=where,
            expected="the program docker",
            found="none on the PATH",
            fix="install Docker (Debian: apt-get install docker.io) or run without containers",
        ) from None
    if found.returncode == 0:
        return
    if "no such image" in found.stderr.lower():
        raise ToolMissingError(
            where=where,
            expected=f"the image {image}",
            found="none of that name in the local Docker",
            fix=fix,
        )
    raise ToolMissingError(
        where=where,
        expected="a Docker daemon that answers",
        found=found.stderr.strip() or f"exit code {found.returncode}",
        fix="start the daemon or set DOCKER_HOST (docs/containers.md)",
    )


def hand_over(store: Path) -> tuple[int, int]:
    """Return the uid and gid that jobs of this store run as.

    That is the store's owner. A store that root made is first given to :data:`IMAGE_UID`,
    with everything of root's in it, because no job runs as root.

    Raises
    ------
    StoreError
        if the store belongs to root and we are not root.
    """
    status = store.stat()
    if status.st_uid != 0:
        owner, group = status.st_uid, status.st_gid
    elif os.geteuid() == 0:
        owner, group = IMAGE_UID, IMAGE_UID
    else:
        raise _owned_by_root(store)
    if os.geteuid() == 0:
        _give(store, owner, group)
    return owner, group


def _give(store: Path, uid: int, gid: int) -> None:
    for folder, _, files in os.walk(store):
        for path in (folder, *(os.path.join(folder, file) for file in files)):  # noqa: PTH118
            if os.lstat(path).st_uid == 0:
                os.chown(path, uid, gid, follow_symlinks=False)


def _read_only_mounts(store: Path, paths: Iterable[Path]) -> list[str]:
    kept: list[Path] = []
    for path in sorted({path.absolute() for path in paths}):
        if not any(path.is_relative_to(known) for known in (store, *kept)):
            kept.append(path)
    return [part for path in kept for part in ("--mount", bind(path, "readonly"))]


def _owned_by_root(store: Path) -> StoreError:
    return StoreError(
        where=store,
        expected="a store owned by the user that jobs run as",
        found="root as the owner",
        fix=f"give it away: chown -R {IMAGE_UID}:{IMAGE_UID} {store}",
    )


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def main() -> NoReturn:
    """Run the command line that follows, as :func:`run` does."""
    signal.signal(signal.SIGTERM, _leave)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
