"""Bring one output of a store to this machine: ``python -m skymend.core.bring STORE PATH``.

Snakemake calls it when a user names a data path of a store on S3 as target: its rules end in
files.
"""

from __future__ import annotations

import sys

from skymend.core.errors import SkymendError, StoreError
from skymend.core.mounts import local
from skymend.core.store import open_store


def bring(uri: str, path: str) -> None:
    """Make the output at ``path``, relative to the store, a file or folder of this machine.

    Raises
    ------
    StoreError
        if no finished job made it.
    """
    store = open_store(uri)
    for record in store.records():
        if any(path in {out.path, *(f.path for f in out.files)} for out in record.outputs.values()):
            store.bring(record)
            local(store.root / path)
            return
    raise StoreError(
        where=store.where(path),
        expected="the output of a finished job",
        found="none of that path",
        fix="list the paths with `skymend plan REGION --jobs`",
    )


def main() -> None:
    """Bring what the two arguments name."""
    try:
        bring(sys.argv[1], sys.argv[2])
    except SkymendError as error:
        sys.stderr.write(f"skymend: {error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
