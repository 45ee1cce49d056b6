"""What the external engines share: settings, programs found, fences, images."""

from __future__ import annotations

from pathlib import Path

import pytest

from skymend.core.errors import ConfigError, ToolMissingError
from skymend.core.grid import Grid
from skymend.sar.engine import Chain
from skymend.sar.engines import open_engine
from skymend.sar.external import Fence, Tool, launch, make_sure
from skymend.sar.otb import OtbSettings
from skymend.sar.s1tiling_config import S1TilingSettings
from skymend.sar.snap import SnapSettings
from tests.engine_case import make_safe

TOOL = Tool(engine="made", name="maker", fix="install it", variable="SKYMEND_MAKER")


@pytest.mark.parametrize(
    ("kind", "engine", "usual"),
    [(SnapSettings, "SNAP", 8.0), (S1TilingSettings, "S1TILING", 4.0), (OtbSettings, "OTB", 1.0)],
)
def test_every_engine_reads_image_and_memory(monkeypatch, kind, engine, usual):
    for name in ("IMAGE", "MEMORY_GB"):
        monkeypatch.delenv(f"SKYMEND_{engine}_{name}", raising=False)
    plain = kind.of_environment()
    assert (plain.image, plain.memory_gb) == (None, usual)
    monkeypatch.setenv(f"SKYMEND_{engine}_IMAGE", "image")
    monkeypatch.setenv(f"SKYMEND_{engine}_MEMORY_GB", "2.5")
    assert kind.of_environment() == kind(image="image", memory_gb=2.5)
    for wrong in ("much", "0.5", "nan", "inf"):
        monkeypatch.setenv(f"SKYMEND_{engine}_MEMORY_GB", wrong)
        with pytest.raises(ConfigError, match=f"SKYMEND_{engine}_MEMORY_GB: expected gigabytes"):
            kind.of_environment()


@pytest.mark.parametrize("engine", ["otb", "snap", "s1tiling"])
def test_programs_run_elsewhere_so_every_path_is_whole(tmp_path, monkeypatch, engine):
    monkeypatch.chdir(tmp_path)
    product = make_safe(tmp_path)
    made = open_engine(engine)
    orders = []
    monkeypatch.setattr(type(made), "demands", lambda *_: {})
    monkeypatch.setattr(type(made), "tools", lambda _: ())
    monkeypatch.setattr(type(made), "make", lambda _, order: orders.append(order))
    made.process(
        [product.relative_to(tmp_path)],
        *(Grid.from_mgrs("31TCJ"), Path("dem.tif"), Path("out")),
        chain=Chain(),
        orbit=Path("orbit.EOF"),
        geoid=Path("geoid.gtx"),
        work=Path("out/work"),
    )
    (order,) = orders
    paths = [order.dem, order.out, order.orbit, order.geoid, order.work]
    assert paths == [tmp_path / p for p in ("dem.tif", "out", "orbit.EOF", "geoid.gtx", "out/work")]
    assert [p.path for p in order.track.slices] == [product]


def test_a_container_sees_its_files_and_nothing_else(tmp_path):
    product, work = tmp_path / "S1,A.zip", tmp_path / "work"
    fence = Fence(read=[product, work], write=[work], memory_gb=2, cpus=1)
    command = fence.command("image", ["gpt", "x"], "skymend-snap-1", {"COLOUR": "red"})
    assert command[-3:] == ["image", "gpt", "x"]
    values = {
        name: [command[i + 1] for i, part in enumerate(command) if part == name]
        for name in ("--mount", "--network", "--env", "--cap-drop", "--memory", "--name")
    }
    assert values == {
        "--mount": [
            f"type=bind,src={work},dst={work}",
            f'type=bind,"src={product}","dst={product}",readonly',
        ],
        "--network": ["none"],
        "--env": ["COLOUR=red", "HOME=/tmp"],
        "--cap-drop": ["ALL"],
        "--memory": ["2048m"],
        "--name": ["skymend-snap-1"],
    }
    assert {"--pull=never", "--read-only"} <= set(command)


def script(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return path


def start(tmp_path, image=None, tool=TOOL):
    return launch(tool, ["a", "b"], image, Fence(read=[], write=[tmp_path], memory_gb=1, cpus=1))


def test_a_program_of_this_machine_runs_in_the_work_folder(tmp_path, monkeypatch):
    program = script(tmp_path / "own", 'echo "$(pwd) $*"')
    monkeypatch.setenv("SKYMEND_MAKER", str(program))
    assert start(tmp_path).lines == (f"{tmp_path} a b",)


@pytest.mark.parametrize(
    ("complaint", "sentence"),
    [
        ("Error: No such image: made", "engine made: expected the image made, found none"),
        ("Cannot connect to the Docker daemon", "daemon that answers"),
    ],
)
def test_an_image_that_is_not_there_is_named(tmp_path, monkeypatch, complaint, sentence):
    script(tmp_path / "docker", f'echo "{complaint}" >&2; exit 1')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(ToolMissingError, match=sentence):
        make_sure(TOOL, "made")


@pytest.mark.parametrize("engine", ["snap", "s1tiling", "otb"])
def test_a_missing_program_is_told_before_anything_is_opened(tmp_path, monkeypatch, engine):
    """It once was told after products were unpacked and heights cut."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("SKYMEND_GPT", "SNAP_HOME", "SKYMEND_S1PROCESSOR", "OTB_HOME"):
        monkeypatch.delenv(name, raising=False)
    nothing, grid = [tmp_path / "no such product"], Grid.from_mgrs("33TTG")
    chain = Chain(convention="sigma0")
    with pytest.raises(ToolMissingError, match=f"engine {engine}: expected the program"):
        open_engine(engine).process(nothing, grid, tmp_path, tmp_path, chain=chain, work=tmp_path)


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (
            ['[ "$1" = run ] || exit 0', 'echo "docker: invalid mount" >&2; exit 125'],
            "Docker to run the image made, found docker: invalid mount",
        ),
        (['[ "$1" = run ] || exit 0', "exit 127"], "a program that can be started"),
    ],
)
def test_an_image_that_cannot_be_run_is_a_missing_tool(tmp_path, monkeypatch, lines, sentence):
    """It once was called a fault of the product."""
    script(tmp_path / "docker", *lines)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(ToolMissingError, match=sentence):
        start(tmp_path, image="made")


@pytest.mark.parametrize("entry_point", [False, True])
def test_the_name_is_left_away_where_it_is_the_entry_point(tmp_path, monkeypatch, entry_point):
    script(tmp_path / "docker", 'echo "$*"')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    tool = Tool(engine="made", name="maker", fix="", entry_point=entry_point)
    (line,) = start(tmp_path, "image", tool).lines
    assert line.endswith(" image a b" if entry_point else " image maker a b")
