"""skymend rebuilds what clouds hide in satellite image series.

The library is split into rooms named after the science (see ``docs/architecture.md``).
Heavy packages are imported inside the functions that need them, so importing
:mod:`skymend` costs nothing.
"""

__version__ = "0.1.0"
