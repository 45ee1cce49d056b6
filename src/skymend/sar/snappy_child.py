"""Run a SNAP graph through esa-snappy: ``python snappy_child.py GRAPH.xml VALUES.json``.

This file is run by the Python that has esa-snappy, in a process of its own: a Java machine lives
and dies there, and no package of that Python meets those of skymend. So it imports nothing of
skymend, and Java's progress comes out as gpt prints it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(graph_file: str, values_file: str) -> int:
    """Execute the graph; return 0, 1 after an error of SNAP, 3 without esa-snappy."""
    values = json.loads(Path(values_file).read_text(encoding="utf-8"))
    try:
        import esa_snappy  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        sys.stdout.write(f"Error: esa_snappy cannot be imported: {error}\n")
        return 3
    java = esa_snappy.jpy.get_type
    variables = java("java.util.HashMap")()
    for name, value in values.items():
        variables.put(name, value)
    reader = java("java.io.FileReader")(graph_file)
    try:
        graph = java("org.esa.snap.core.gpf.graph.GraphIO").read(reader, variables)
        monitor = java("com.bc.ceres.core.ProgressMonitor").NULL
        java("org.esa.snap.core.gpf.graph.GraphProcessor")().executeGraph(graph, monitor)
    except RuntimeError as error:  # what jpy makes of a Java exception
        sys.stdout.write(f"Error: {error}\n")
        return 1
    finally:
        reader.close()
    sys.stdout.write("100% done.\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:3]))
