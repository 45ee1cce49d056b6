"""Names for classes: imported when asked for, and an unknown one lists the known."""

from __future__ import annotations

import subprocess
import sys

import pytest

from skymend.core.errors import ConfigError
from skymend.core.lazy import look_up

TABLE = {"decimal": "decimal:Decimal", "absent": "skymend_has_no_such:Thing"}


def test_a_name_gives_what_stands_behind_it():
    from decimal import Decimal

    assert look_up(TABLE, "decimal", where="kind", fix="choose one") is Decimal


def test_an_unknown_name_lists_the_known_ones_in_one_sentence():
    with pytest.raises(ConfigError, match="kind: expected one of decimal, absent, found 'other'"):
        look_up(TABLE, "other", where="kind", fix="choose one")


def test_a_missing_package_is_left_to_the_caller():
    with pytest.raises(ModuleNotFoundError, match="skymend_has_no_such"):
        look_up(TABLE, "absent", where="kind", fix="choose one")


@pytest.mark.parametrize(
    ("module", "function", "table"),
    [
        ("skymend.sar.engines", "open_engine", "skymend.sar.snap"),
        ("skymend.clouds.masker", "open_masker", "skymend.clouds.s2cloudless"),
        ("skymend.sources.registry", "open_source", "skymend.sources.cdse"),
    ],
)
def test_a_table_imports_nothing_before_it_is_asked(module, function, table):
    code = (
        f"import importlib, sys; from {module} import {function}; early = {table!r} in sys.modules;"
        f"importlib.import_module({table!r}); sys.exit(early)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
