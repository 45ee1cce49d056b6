"""Run every benchmark at its quick size, one after the other.

    python -m benchmarks            # all but those that write pages or pictures
    python -m benchmarks tiler      # one of them

Each prints a table of its own; nothing here gates a test. Machines are noisy: quote ratios.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
PAGES = {"fault_table", "fmask_figures"}
"""Those that write a page or a picture of the documentation; run by name."""


def main() -> None:
    """Run the benchmarks named, or all."""
    known = sorted(p.stem for p in FOLDER.glob("*.py") if not p.stem.startswith("_"))
    wanted = sys.argv[1:] or [name for name in known if name not in PAGES]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        sys.exit(f"no benchmark {unknown[0]}; there are {', '.join(known)}")
    failed = []
    for name in wanted:
        print(f"\n== {name} ==", flush=True)
        if subprocess.run([sys.executable, FOLDER / f"{name}.py"], check=False).returncode:
            failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
