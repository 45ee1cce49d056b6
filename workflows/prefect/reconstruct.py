"""The reconstruct flow, for the UI, schedules and work pools.

Run it once here:            python workflows/prefect/reconstruct.py serve
Deploy it to a process pool: prefect --no-prompt deploy --all   (reads prefect.yaml beside it)
"""

import sys

from skymend.adapters.prefect import reconstruct

if __name__ == "__main__" and sys.argv[1:] == ["serve"]:
    reconstruct.serve(name="reconstruct")
