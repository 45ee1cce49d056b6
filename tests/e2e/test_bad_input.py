"""Bad input gets one clear sentence and a non-zero exit, and leaves nothing half-written."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import REGION, skymend

pytestmark = pytest.mark.e2e


@pytest.fixture
def own_products(products, tmp_path):
    """A private copy of four dates, to be damaged."""
    folder = tmp_path / "products"
    for name in ("s1tiling", "dem"):
        shutil.copytree(products / name, folder / name)
    for product in sorted((products / "theia").iterdir())[:4]:
        shutil.copytree(product, folder / "theia" / product.name)
    return folder


def write_region(folder, products, text=REGION):
    path = folder / "region.yaml"
    path.write_text(text.format(products=products, end="2018-07-06"))
    return path


def refused(code, *arguments):
    """Run and return the one sentence on standard error."""
    done = skymend(*arguments, check=False)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    lines = [x for x in done.stderr.splitlines() if x.startswith("skymend: ")]
    assert len(lines) == 1, done.stderr
    return lines[0]


def band_of(products, number=0):
    product = sorted((products / "theia").iterdir())[number]
    return next(product.glob("*_FRE_B4.tif"))


def nothing_half_written(store):
    litter = [p for p in Path(store).rglob("*") if ".part" in p.name and p.is_file()]
    finished = {p.parent for p in Path(store).glob("scenes/**/*.tif") if "/." not in str(p)}
    recorded = len(list(Path(store).glob("records/*/*.json")))
    return not litter and len(finished) <= recorded


def test_unknown_key(tmp_path, own_products):
    text = REGION.replace("mask: {{dilate_m: 20}}", "mask: {{dilate_m: 20, shade: 3}}")
    sentence = refused(2, "plan", write_region(tmp_path, own_products, text))
    assert "mask.shade" in sentence
    assert "unknown key 'shade'" in sentence


def test_wrong_value_and_missing_file(tmp_path, own_products):
    text = REGION.replace("dilate_m: 20", "dilate_m: -4")
    assert "mask.dilate_m" in refused(2, "plan", write_region(tmp_path, own_products, text))
    assert "no such file" in refused(2, "plan", tmp_path / "nowhere.yaml")
    done = skymend("run", write_region(tmp_path, own_products), "--engine", "cron", check=False)
    assert done.returncode == 2
    assert "prefect or snakemake" in done.stderr


def test_region_without_any_image(tmp_path, own_products):
    text = REGION.replace("2018-06-01", "2019-06-01").replace("{end}", "2019-07-01")
    sentence = refused(67, "plan", write_region(tmp_path, own_products, text))
    assert "between 2019-06-01 and 2019-07-01" in sentence


def test_theia_folder_without_a_band(tmp_path, own_products):
    band = band_of(own_products)
    band.unlink()
    sentence = refused(65, "plan", write_region(tmp_path, own_products))
    assert band.parent.name in sentence
    assert "B04" in sentence or "B4" in sentence


def failing_run(tmp_path, own_products):
    # Four dates from optical images alone: what is left of them is soon made.
    head, _, rest = REGION.partition("  s1:")
    text = head + rest[rest.index("\n") + 1 : rest.index("  - evaluate")]
    region, store = write_region(tmp_path, own_products, text), tmp_path / "store"
    done = skymend("run", region, "--store", store, "--engine", "snakemake", "-q", check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stdout
    return done.stdout


def test_truncated_geotiff_fails_its_date_and_no_other(tmp_path, own_products):
    band = band_of(own_products)
    band.write_bytes(band.read_bytes()[:5000])
    text = failing_run(tmp_path, own_products)
    assert band.name in text
    assert "fetch or write the file again" in text
    assert nothing_half_written(tmp_path / "store")
    assert len(list((tmp_path / "store").glob("records/optical/*.json"))) == 3


def test_images_on_different_grids(tmp_path, own_products):
    import rasterio
    from rasterio.transform import Affine

    band = band_of(own_products, 1)
    with rasterio.open(band) as source:
        profile, values = source.profile, source.read()
    profile["transform"] = profile["transform"] @ Affine.translation(0.4, 0)
    with rasterio.open(band, "w", **profile) as target:
        target.write(values)
    text = failing_run(tmp_path, own_products)
    assert band.name in text or "grid" in text
    assert nothing_half_written(tmp_path / "store")


@pytest.fixture
def mounted(tmp_path):
    """A function that mounts a small tmpfs; skipped where that is not allowed."""
    mounts = []

    def mount(folder, options):
        folder.mkdir(exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            pytest.skip("mounting a tmpfs is not allowed here")
        mounts.append(folder)
        return folder

    yield mount
    for folder in mounts:
        subprocess.run(["umount", str(folder)], check=False)


def test_full_disk(tmp_path, own_products, mounted):
    store = mounted(tmp_path / "small", "size=160k")
    region = write_region(tmp_path, own_products)
    done = skymend("run", region, "--store", store, "--engine", "snakemake", "-q", check=False)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "disk is full" in done.stdout + done.stderr
    assert nothing_half_written(store)


def test_read_only_store(tmp_path, own_products, mounted):
    store = mounted(tmp_path / "fixed", "size=8m")
    region = write_region(tmp_path, own_products)
    skymend("plan", region, "--store", store)
    subprocess.run(["mount", "-o", "remount,ro", str(store)], check=True)
    sentence = refused(73, "run", region, "--store", store, "--engine", "snakemake")
    assert "a store that can be written" in sentence
    assert "read-only file system" in sentence
