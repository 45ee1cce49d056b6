"""Fusion: temporal and SAR-optical methods that rebuild reflectance without a network.

Every method is fitted on a small sample of a job's own stack and then predicts block by
block, each value with one calibrated standard deviation.
"""

from skymend.fusion.methods import METHODS, method
from skymend.fusion.stack import Estimate, Fitted, Method, Stack

__all__ = ["METHODS", "Estimate", "Fitted", "Method", "Stack", "method"]
