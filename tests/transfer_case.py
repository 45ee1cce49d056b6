"""What the tests of the download engine share: quick options, a signer, what a server saw."""

import hashlib
import json
from contextlib import contextmanager
from urllib.request import urlopen

from skymend.sources.transfer import Digest, Remote, TransferOptions
from tests.servers.faults import serving, write_pattern

MIB = 2**20
FAST = TransferOptions(stall_s=1.0, wall_s=30.0, connect_s=2.0, attempts=4, backoff_s=0.05)


def remote(url, name, **facts):
    return Remote(f"{url}/{name}", "loopback", f"{name}.bin", **facts)


def md5(data):
    return (Digest("md5", hashlib.md5(data).hexdigest()),)


def log(url, name):
    with urlopen(f"{url}/log") as answer:
        return json.load(answer)[name]


class Tokens:
    """Counts how often it was refreshed."""

    def __init__(self, fixed=False):
        self.generation, self.fixed = 0, fixed

    def headers(self, remote, *, refresh):
        if not self.fixed:
            self.generation += refresh
        return {"Authorization": f"Bearer token-{self.generation}"}

    def url(self, remote, *, refresh):
        return remote.url


def parts(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


@contextmanager
def shop(cases, folder):
    """Serve cases out of a pattern of 10 MiB; yield the address and what each file holds."""
    pattern = write_pattern(folder / "pattern", 10 * MIB)
    data, known = pattern.read_bytes(), {case.name: case for case in cases}
    with serving(cases, pattern, folder) as address:
        yield address, lambda name: data[known[name].offset :][: known[name].size]
