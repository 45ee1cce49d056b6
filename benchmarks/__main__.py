"""Run every benchmark at its quick size, one after the other.

    python -m benchmarks            # all of them
    python -m benchmarks tiler      # one of them

Each prints a table of its own; nothing here gates a test. Machines are noisy: quote ratios.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def main() -> None:
    """Run the benchmarks named, or all."""
    known = sorted(p.stem for p in FOLDER.glob("*.py") if not p.stem.startswith("_"))
    wanted = sys.argv[1:] or known
    unknown = [name for name in wanted if name not in known]
    if unknown:
        sys.exit(f"no benchmark {unknown[0]}; there are {', '.join(known)}")
    for name in wanted:
        print(f"\n== {name} ==", flush=True)
        subprocess.run([sys.executable, FOLDER / f"{name}.py"], check=True)


if __name__ == "__main__":
    main()
