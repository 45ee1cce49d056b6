"""One module per step: parameters, inputs, outputs and ``run``."""
