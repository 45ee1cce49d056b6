"""Run a SNAP graph through esa-snappy: ``python snappy_child.py GRAPH.xml JOB.json``.

This file is run by the Python that has esa-snappy, in a process of its own: a Java machine lives
and dies there, and no package of that Python meets those of skymend. So it imports nothing of
skymend. The job holds the values of the placeholders, the tile cache in megabytes and the number
of threads; Java prints its progress as gpt does.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def main(graph_file: str, job_file: str) -> int:
    """Execute the graph; return 0, 1 after an error of SNAP, 3 without esa-snappy."""
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    try:
        import esa_snappy  # type: ignore[import-not-found,unused-ignore]
    except Exception as error:  # whatever a Java machine that does not start raises
        sys.stdout.write(f"Error: esa_snappy cannot be imported: {error}\n")
        return 3
    java = esa_snappy.jpy.get_type
    _bound(java, job["cache_mb"], job["threads"])
    variables = java("java.util.HashMap")()
    for name, value in job["values"].items():
        variables.put(name, value)
    reader = java("java.io.FileReader")(graph_file)
    try:
        graph = java("org.esa.snap.core.gpf.graph.GraphIO").read(reader, variables)
        processor = java("org.esa.snap.core.gpf.graph.GraphProcessor")()
        processor.executeGraph(graph, _monitor(java))
    except RuntimeError as error:  # what jpy makes of a Java exception
        sys.stdout.write(f"Error: {error}\n")
        return 1
    finally:
        reader.close()
    sys.stdout.write("100% done.\n")
    return 0


def _bound(java: Any, cache_mb: int, threads: int) -> None:
    """Set the tile cache and the threads, as gpt does from ``-c`` and ``-q``."""
    for name in ("org.eclipse.imagen.JAI", "javax.media.jai.JAI"):  # SNAP 12 and newer, older
        try:
            imaging = java(name).getDefaultInstance()
        except (RuntimeError, ValueError):  # no such class in this SNAP
            continue
        imaging.getTileCache().setMemoryCapacity(cache_mb << 20)
        imaging.getTileScheduler().setParallelism(threads)
        return
    sys.stdout.write("WARNING: SNAP's tile cache keeps its own size\n")


def _monitor(java: Any) -> Any:
    """Return the monitor that prints as gpt's does; a silent one where there is none."""
    try:
        console = java("java.lang.System").out
        return java("com.bc.ceres.core.PrintWriterConciseProgressMonitor")(console)
    except (RuntimeError, ValueError):  # no such class in this SNAP
        return java("com.bc.ceres.core.ProgressMonitor").NULL


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:3]))
