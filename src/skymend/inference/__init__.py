"""The tiler: padded windows -> model -> full-extent raster, and the network as a method.

The room reads every window once, predicts it with a bundle (or anything else that follows
:class:`~skymend.inference.predictor.Predictor`) and writes the result; memory is bounded by
the block, not by the image.
"""
