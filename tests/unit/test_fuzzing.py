"""Files from outside that are damaged end in a sentence; `make fuzz` does so for ten minutes."""

import pytest

from skymend.core.errors import ProductError, SkymendError
from skymend.products.landsat_metadata import Metadata
from skymend.products.safe import read_radiometry
from skymend.products.safe_angles import read_tile_angles
from skymend.sar.orbit import read_eof
from skymend.sources.archives import manifest_digests
from skymend.sources.cdse.contents import read_manifest
from skymend.sources.orbits import check
from tests.fuzzing import optical, radar, sources
from tests.fuzzing.every import TARGETS
from tests.mutation import distort, mutate

SEEDS = range(12)
# What these do not understand they pass over, by intent.
IGNORING = {"downloads", "headers", "products", "searched"}


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path_factory):
    """Make do without the shared imagery, as the runs elsewhere must."""
    for module in (radar, optical, sources):
        monkeypatch.setattr(module, "SHARED", tmp_path_factory.getbasetemp() / "none")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", TARGETS)
def test_whole_files_are_read_and_damaged_ones_end_in_a_sentence(kind):
    refusals = []
    for name, content, parse in TARGETS[kind]():
        parse(content)
        for seed in SEEDS:
            try:
                parse((mutate if seed % 2 else distort)(content, seed))
            except SkymendError as error:
                refusals.append((name, seed, str(error)))
    assert refusals or kind in IGNORING
    assert [r for r in refusals if not r[2].isprintable()] == []


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("MTD_MSIL2A.xml", read_radiometry),
        ("MTD_TL.xml", read_tile_angles),
        ("manifest.safe", manifest_digests),
        ("manifest.safe", lambda path: read_manifest(path.read_bytes(), "x")),
        ("LC08_MTL.xml", lambda path: Metadata.of(path.parent)),
        ("a.EOF", read_eof),
        ("S1A_OPER_AUX_POEORB_OPOD_20200526T120000_V20200505T225942_20200507T005942.EOF", check),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "no-such-one", "euc_jp"])
def test_no_encoding_hides_entities_or_is_unknown(tmp_path, name, read, encoding):
    text = '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'
    if encoding.startswith("utf"):
        content = text.encode(encoding)
    else:
        content = f'<?xml version="1.0" encoding="{encoding}"?><a/>'.encode()
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ProductError, match=r"XML in UTF-8|well-formed XML"):
        read(path)


def test_what_a_damaged_file_says_cannot_break_the_line():
    error = ProductError(
        where="a\nb", expected="\x1b[31mred", found="x" * 9000 + "\ud800", fix="\u2028\u202e"
    )
    assert str(error).isprintable()
    assert len(str(error)) < 1000
    assert str(error).startswith("a b: expected \\x1b[31mred, found xxx")
