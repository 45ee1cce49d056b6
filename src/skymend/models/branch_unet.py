"""One builder for a family of U-Nets: one encoder branch per date, one decoder for all.

Every net of decloud.md section 12 that has branches is one :class:`UNetSpec` away. Written
with Keras layers and ``keras.ops`` only, so that each Keras backend can run it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from skymend.core.errors import InternalError

_TYPICAL = {"s1": (0.45, 8.0), "s2": (0.15, 8.0)}
"""Centre and inverse spread of scaled radar and optical inputs, for nets that flag missing
values; a net sees contrasts of order one from the first step on."""

_CORRECTION_UNIT = 0.1
"""Reflectance that a correction of 1 stands for, so that it learns as fast as the weight."""


@dataclass(frozen=True, slots=True)
class Branch:
    """One encoder branch, usually one date.

    Branches that name the same layers share their weights.
    """

    inputs: tuple[str, ...]
    """Inputs at full resolution, concatenated in this order."""
    stem: str = "conv1"
    """Name of the first convolution."""
    second: str = "conv2"
    """Name of the second convolution, the one that halves the resolution."""
    coarse: str | None = None
    """An input at half resolution that joins after the second convolution."""
    dem: bool = True
    """Whether the elevation joins after the second convolution (if the net has one)."""


@dataclass(frozen=True, slots=True)
class UNetSpec:
    """All that defines one net; the arguments of :func:`branch_unet`."""

    branches: tuple[Branch, ...]
    channels: tuple[tuple[str, int], ...]
    """Inputs in the order of the model, with their number of channels."""
    widths: tuple[int, ...] = (64, 128, 256, 512, 512, 512)
    """Filters of the encoder; each level after the first halves the resolution."""
    decoder: tuple[int, ...] = (512, 512, 256, 128, 64)
    """Filters of the decoder, from the coarsest level up."""
    skips: tuple[int, ...] = (16, 8, 4, 2, 1)
    """Factors at which encoder features join the decoder."""
    dem: Literal["features", "raw"] | None = "features"
    """How the elevation joins at factor 2: through a convolution, as it is, or not at all."""
    dem_width: int = 64
    coarse: Literal["concat", "fuse"] = "concat"
    """How 20 m bands join: beside the other features, or fused with them by a convolution."""
    bands: int = 4
    coarse_bands: int = 0
    """Bands of the second output at half resolution; 0 for none."""
    output: str = "s2_target"
    activation: Literal["linear", "relu"] = "linear"
    initializer: Literal["glorot_uniform", "variance_scaling"] = "glorot_uniform"
    kernel: int = 5
    """Size of the first and the last convolution."""
    missing: float | None = None
    """Scaled values at or below this are missing: they are zeroed, the others centred and
    amplified, and a channel that tells them apart is added. None leaves the inputs alone."""
    blend: tuple[str, str] | None = None
    """Two optical inputs (before, after): the net then predicts their mixing weight and a
    correction, and starts out as their interpolation in time."""
    days: tuple[str, str] | None = None
    """Inputs with the time from the target to ``blend``, scaled; they set the first weight."""

    @property
    def depth(self) -> int:
        """Number of times the encoder halves the resolution."""
        return len(self.widths) - 1

    @property
    def stride(self) -> int:
        """Rows and columns of an input must be multiples of this, pixels."""
        return int(2**self.depth)

    @property
    def reach(self) -> int:
        """Largest distance at which an input pixel can change an output pixel, pixels.

        A k x k convolution at factor f reaches ``(k - 1) / 2 * f`` pixels, a transposed 3 x 3
        convolution of stride 2 half of that (decloud.md section 12.1 gives 66 at depth 5).
        """
        stem = head = self.kernel // 2
        halvings = self.stride - 1
        extra = 2 if any(b.coarse for b in self.branches) else 0
        return stem + halvings + extra + halvings + head

    @property
    def margin(self) -> int:
        """Reach rounded up to the stride, pixels."""
        return -(-self.reach // self.stride) * self.stride

    def outputs(self, uncertainty: bool = False) -> list[str]:
        """Return the names of the output tensors in order."""
        names = [self.output]
        if self.coarse_bands:
            names.append(self.output.replace("s2_", "s2_20m_", 1))
        return names + ([f"{self.output}_sigma"] if uncertainty else [])


@dataclass(slots=True)
class _Layers:
    """Layers by name, so that asking twice for one name shares its weights."""

    initializer: str
    made: dict[str, Any] = field(default_factory=dict)
    joins: int = 0

    def join(self, tensors: Sequence[Any]) -> Any:
        """Concatenate; a name of our own keeps automatic counters out of the saved file."""
        from keras import layers

        if len(tensors) == 1:
            return tensors[0]
        self.joins += 1
        return layers.Concatenate(name=f"join{self.joins}")(list(tensors))

    def _get(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self.made:
            self.made[name] = make()
        return self.made[name]

    def conv(self, name: str, width: int, size: int = 3, stride: int = 1, act: str = "relu") -> Any:
        from keras import layers

        return self._get(
            name,
            lambda: layers.Conv2D(
                width,
                size,
                strides=stride,
                padding="same",
                activation=act,
                kernel_initializer=self.initializer,
                name=name,
            ),
        )

    def deconv(self, name: str, width: int, stride: int = 2) -> Any:
        from keras import layers

        return self._get(
            name,
            lambda: layers.Conv2DTranspose(
                width,
                3,
                strides=stride,
                padding="same",
                activation="relu",
                kernel_initializer=self.initializer,
                name=name,
            ),
        )


def branch_unet(
    branches: Sequence[Branch],
    depth: int,
    widths: Sequence[int],
    *,
    channels: Sequence[tuple[str, int]],
    decoder: Sequence[int],
    uncertainty: bool = False,
    name: str = "branch_unet",
    **options: Any,
) -> Any:
    """Build a branch U-Net.

    Parameters
    ----------
    branches : the encoder branches, in the order in which their features are concatenated.
    depth : number of times the resolution is halved.
    widths : ``depth + 1`` filter counts of the encoder.
    channels : inputs and their channels, in order; tensors are (batch, rows, columns,
        channels) float32, scaled. ``dem`` and the branches' ``coarse`` inputs have half the
        rows and columns.
    decoder : ``depth`` filter counts, coarsest first.
    uncertainty : add the output ``<output>_sigma``, one standard deviation, positive.
    options : further fields of :class:`UNetSpec`.

    Returns
    -------
    keras.Model
        that takes a dictionary of inputs by name; outputs (batch, rows, columns, bands), the
        mean first.
    """
    spec = UNetSpec(tuple(branches), tuple(channels), tuple(widths), tuple(decoder), **options)
    if depth != spec.depth or len(spec.decoder) != depth:
        raise InternalError(
            where=name,
            expected=f"{depth + 1} widths and {depth} decoder widths for depth {depth}",
            found=f"{len(spec.widths)} and {len(spec.decoder)}",
            fix="give one width a level",
        )
    return build(spec, uncertainty=uncertainty, name=name)


def build(spec: UNetSpec, *, uncertainty: bool = False, name: str = "branch_unet") -> Any:
    """Build the net of a specification (see :func:`branch_unet`)."""
    import keras

    inputs = {key: keras.Input((None, None, n), name=key) for key, n in spec.channels}
    make = _Layers(spec.initializer)
    seen = _flag_missing(spec, inputs, make)
    pyramids = [_encode(spec, branch, seen, make) for branch in spec.branches]
    outputs = _decode(spec, pyramids, inputs, make, uncertainty)
    return keras.Model(inputs, outputs, name=name)


def _valid(tensor: Any, missing: float) -> Any:
    from keras import ops

    return ops.cast(tensor[..., :1] > missing, "float32")


def _flag_missing(spec: UNetSpec, inputs: dict[str, Any], make: _Layers) -> dict[str, Any]:
    if spec.missing is None:
        return dict(inputs)
    seen = dict(inputs)
    for key, tensor in inputs.items():
        prefix = key.split("_", maxsplit=1)[0]
        if prefix in _TYPICAL:
            centre, gain = _TYPICAL[prefix]
            valid = _valid(tensor, spec.missing)
            seen[key] = make.join([(tensor - centre) * gain * valid, valid])
    return seen


def _encode(spec: UNetSpec, branch: Branch, seen: dict[str, Any], make: _Layers) -> dict[int, Any]:
    """Return the features of one branch by factor."""
    first = make.join([seen[key] for key in branch.inputs])
    features = {1: make.conv(branch.stem, spec.widths[0], spec.kernel)(first)}
    second = make.conv(branch.second, spec.widths[1], 3, 2)(features[1])
    features[2] = _join_half(spec, branch, second, seen, make)
    for level in range(2, spec.depth + 1):
        conv = make.conv(f"conv{level + 1}", spec.widths[level], 3, 2)
        features[2**level] = conv(features[2 ** (level - 1)])
    return features


def _join_half(
    spec: UNetSpec, branch: Branch, second: Any, seen: dict[str, Any], make: _Layers
) -> Any:
    """Let what comes at half resolution join a branch at factor 2."""
    dem = _elevation(spec, seen, make) if branch.dem else []
    if branch.coarse is None:
        return make.join([second, *dem])
    bands = make.conv("conv1_20m", 64)(seen[branch.coarse])
    if spec.coarse == "fuse":
        return make.conv("conv2_20m", 128)(make.join([second, bands, *dem]))
    return make.join([second, make.conv("conv2_20m", 128)(bands), *dem])


def _elevation(spec: UNetSpec, seen: dict[str, Any], make: _Layers) -> list[Any]:
    if spec.dem is None:
        return []
    if spec.dem == "raw":
        return [seen["dem"]]
    return [make.conv("conv1_dem", spec.dem_width)(seen["dem"])]


def _decode(
    spec: UNetSpec,
    pyramids: Sequence[dict[int, Any]],
    inputs: dict[str, Any],
    make: _Layers,
    uncertainty: bool,
) -> list[Any]:
    """Return the outputs: mean, mean of the 20 m bands, sigma (the last two if asked)."""
    tensor = make.join([p[spec.stride] for p in pyramids])
    half = tensor
    for index, width in enumerate(spec.decoder):
        tensor = make.deconv(f"deconv{index + 1}", width)(tensor)
        factor = 2 ** (spec.depth - 1 - index)
        if factor in spec.skips:
            tensor = make.join([*(p[factor] for p in pyramids), tensor])
        if factor == 2:
            half = tensor
    outputs = [_mean(spec, tensor, inputs, make)]
    if spec.coarse_bands:
        outputs.append(_coarse_head(spec, half, make, spec.outputs()[1]))
    if uncertainty:
        outputs.append(_sigma(spec, tensor, make))
    return outputs


def _coarse_head(spec: UNetSpec, half: Any, make: _Layers, name: str) -> Any:
    features = make.deconv("deconv_20m", 64, stride=1)(half)
    act = spec.activation
    return make.conv(name, spec.coarse_bands, 3, act=act)(features)


def _sigma(spec: UNetSpec, tensor: Any, make: _Layers) -> Any:
    from keras import layers

    raw = make.conv("sigma", spec.bands, spec.kernel, act="softplus")(tensor)
    return layers.Rescaling(0.1, offset=1e-4, name=f"{spec.output}_sigma")(raw)


def _mean(spec: UNetSpec, tensor: Any, inputs: dict[str, Any], make: _Layers) -> Any:
    if spec.blend is None:
        return make.conv(spec.output, spec.bands, spec.kernel, act=spec.activation)(tensor)
    return _blend_head(spec, tensor, inputs)


def _blend_head(spec: UNetSpec, tensor: Any, inputs: dict[str, Any]) -> Any:
    """Mix the dates before and after and add a correction.

    ``mean = (1 - w) * before + w * after + c`` with ``w = sigmoid(logit(w0) + d)``, where w0
    is the weight of linear interpolation in time and the net gives d and c, both zero before
    training.
    """
    from keras import layers, ops

    if spec.blend is None or spec.missing is None:
        raise InternalError(
            where="branch_unet",
            expected="blend together with missing",
            found=f"blend={spec.blend}, missing={spec.missing}",
            fix="set both",
        )
    raw = layers.Conv2D(
        spec.bands + 1, spec.kernel, padding="same", kernel_initializer="zeros", name="blend"
    )(tensor)
    before, after = (inputs[key] for key in spec.blend)
    has_before, has_after = _valid(before, spec.missing), _valid(after, spec.missing)
    weight = ops.sigmoid(raw[..., :1] + _first_logit(spec, inputs))
    weight = has_after * (1.0 - has_before * (1.0 - weight))
    mixed = has_before * (1.0 - weight) * before + weight * after
    correction = raw[..., 1:] * _CORRECTION_UNIT
    return layers.Add(name=spec.output)([mixed, correction])


def _first_logit(spec: UNetSpec, inputs: dict[str, Any]) -> Any:
    """Logit of the weight of linear interpolation, ``log(days before / days after)``."""
    from keras import ops

    if spec.days is None:
        return 0.0
    before, after = (ops.maximum(inputs[key], 0.0) + 1e-3 for key in spec.days)
    return ops.log(before) - ops.log(after)
