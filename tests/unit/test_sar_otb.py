"""OTB: margins for its rectangles, names of its images, its command lines and outcomes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from skymend.core.errors import ConfigError, ProductError, RetryableError, ToolMissingError
from skymend.core.grid import Grid
from skymend.products.s1tiling import Name
from skymend.sar.engine import Chain
from skymend.sar.external import Order
from skymend.sar.naming import s1tiling_name
from skymend.sar.otb import OtbEngine, OtbSettings, _Run, judge, tool_of
from skymend.sar.otb_margins import Margins, margins_of
from skymend.sar.passes import Pass, open_pass
from skymend.sar.programs import Finished
from tests.engine_case import make_safe


class MadeGrd:
    """As much of a product as margins ask for."""

    def __init__(self, dn, ipf):
        self.image, self.ipf = dn, ipf
        self.polarisations = ("VV", "VH")

    def annotation(self, polarisation):
        assert polarisation == "VV"
        return SimpleNamespace(shape=self.image.shape)

    def dn(self, polarisation, window):
        return self.image[window.slices]


def bordered(outside):
    """An image of 900 x 1400 whose first 30 lines and last 12 samples have no value."""
    dn = np.full((900, 1400), 150, np.uint16)
    dn[:30] = dn[:, -12:] = outside
    dn[100:300, -40:] = outside
    return dn


def test_old_images_lose_a_frame():
    product = MadeGrd(bordered(outside=4), "002.72")
    margins = margins_of(product, Pass((product,), ("VV",)))
    assert margins == Margins(top=33, bottom=0, left=0, right=43)


def test_new_images_lose_empty_lines_only():
    product = MadeGrd(bordered(outside=0), "003.40")
    margins = margins_of(product, Pass((product,), ("VV",)))
    assert margins == Margins(top=33)


def test_nothing_is_cut_at_a_seam():
    first, second = (MadeGrd(bordered(outside=4), "002.72") for _ in "ab")
    track = Pass((first, second), ("VV",))
    assert margins_of(first, track).top == 33
    assert margins_of(second, track).top == 0


def test_a_full_image_loses_nothing():
    product = MadeGrd(np.full((900, 1400), 150, np.uint16), "003.40")
    assert not margins_of(product, Pass((product,), ("VV",))).any
    empty = MadeGrd(np.zeros((900, 1400), np.uint16), "003.40")
    assert not margins_of(empty, Pass((empty,), ("VV",))).any


@pytest.mark.parametrize("convention", ["sigma0", "gamma0", "beta0", "gamma0-flattened"])
@pytest.mark.parametrize("slices", [1, 2])
def test_names_are_read_back(convention, slices):
    when = datetime(2021, 12, 23, 5, 11, 22, tzinfo=UTC)
    parts = [
        SimpleNamespace(
            platform="sentinel-1b",
            time=when + timedelta(seconds=25 * i),
            direction="descending",
            relative_orbit=22,
        )
        for i in range(slices)
    ]
    name = Name.parse(s1tiling_name(Pass(tuple(parts), ("VV",)), "33TTG", "VV", convention))
    assert name is not None
    assert (name.satellite, name.tile, name.polarisation) == ("s1b", "33TTG", "VV")
    assert (name.relative_orbit, name.direction) == (22, "descending")
    assert name.convention == convention
    assert name.clock == ("051122" if slices == 1 else "xxxxxx")


@pytest.mark.parametrize(
    ("chain", "orbit", "sentence"),
    [
        (Chain(), None, "chain.convention: expected sigma0, gamma0 or beta0"),
        (Chain(convention="sigma0", multilook=2), None, "chain.multilook: expected 1"),
        (Chain(convention="sigma0"), Path("a.EOF"), r"orbit: expected none \(OTB takes"),
    ],
)
def test_what_it_cannot_do_is_refused_before_anything_is_opened(tmp_path, chain, orbit, sentence):
    nothing, grid = [tmp_path / "no such product"], Grid.from_mgrs("33TTG")
    with pytest.raises(ConfigError, match=sentence):
        OtbEngine().process(
            nothing, grid, tmp_path, tmp_path, chain=chain, orbit=orbit, work=tmp_path
        )


def test_a_grid_off_the_tiles_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(OtbEngine, "tools", lambda self: ())
    grid = Grid("EPSG:32633", (10.0, 0.0, 292_003.0, 0.0, -10.0, 4_654_000.0), (64, 64))
    with pytest.raises(ConfigError, match="a Sentinel-2 tile, or a window of one"):
        OtbEngine().process(
            [make_safe(tmp_path)],
            grid,
            tmp_path,
            tmp_path,
            chain=Chain(convention="sigma0"),
            work=tmp_path,
        )


def test_programs_are_found_or_missed_in_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("OTB_HOME", raising=False)
    with pytest.raises(ToolMissingError, match="apt-get install otb-bin"):
        tool_of("SARCalibration").find()
    program = tmp_path / "otbcli_SARCalibration"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert tool_of("SARCalibration").find() == program


def run_of(tmp_path, settings):
    track = open_pass([make_safe(tmp_path)], ())
    chain, grid = Chain(convention="sigma0"), Grid.from_mgrs("33TTG")
    order = Order(track, grid, tmp_path, tmp_path, chain, None, None, tmp_path, 2)
    return _Run(settings, order, tmp_path / "egm96.gtx")


def test_options_reach_the_program(monkeypatch, tmp_path):
    seen = tmp_path / "seen"
    program = tmp_path / "bin" / "otbcli_Echo"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS $*" > {seen}\n')
    program.chmod(0o755)
    monkeypatch.setenv("OTB_HOME", str(tmp_path))
    run_of(tmp_path, OtbSettings()).call("Echo", io_out=["a.tif", "float"], opt_ram=5)
    assert seen.read_text() == "2 -io.out a.tif float -opt.ram 5 -progress false\n"


def test_a_container_takes_its_place(monkeypatch, tmp_path):
    lines = []

    def fake(argv, **_):
        lines.append(argv)
        return Finished(0, ())

    monkeypatch.setattr("skymend.sar.external.run_program", fake)
    monkeypatch.setattr("skymend.sar.external.check_ready", lambda *a, **k: None)
    run_of(tmp_path, OtbSettings(image="skymend-otb")).call("BandMath", ram=5)
    (argv,) = lines
    assert argv[:2] == ["docker", "run"]
    assert argv[argv.index("--network") + 1] == "none"
    assert argv[-6:] == ["skymend-otb", "otbcli_BandMath", "-ram", "5", "-progress", "false"]
    assert f"type=bind,src={tmp_path},dst={tmp_path}" in argv


def test_failures_become_outcomes():
    judge(Finished(0, ("done",)), "BandMath")
    said = ("2026 (INFO) x", "2026 (FATAL) SARCalibration: no metadata")
    for code in (0, 1):
        with pytest.raises(ProductError, match=r"OTB BandMath.*\(FATAL\) SARCalibration: no meta"):
            judge(Finished(code, said), "BandMath")
    with pytest.raises(RetryableError, match="ended by signal 9"):
        judge(Finished(137, ()), "BandMath")


def test_polarisations_of_a_pass_are_those_shared(tmp_path):
    track = open_pass([make_safe(tmp_path)], ("VH",))
    assert track.channels == ("VH",)
    with pytest.raises(ConfigError, match="expected one product or more"):
        open_pass([], ())
