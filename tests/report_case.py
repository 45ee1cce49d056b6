"""A small made-up region for the tests of the report and the catalogue.

Fields that green up, clouds with soft edges, a harvest, one date without any acquisition and
one outside the swath. Seeded: the same bytes each time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from skymend.core.cog import write_cog
from skymend.core.encoding import QA, REFLECTANCE, SIGMA
from skymend.core.grid import Grid
from skymend.core.step import Artifact
from skymend.evaluate.scores import ScoreRow

BANDS = ("B02", "B03", "B04", "B08")
START = datetime(2023, 4, 3, 10, 56, 19, tzinfo=UTC)
CLOUD_SHARES = (0.0, 0.55, 1.0, 0.2, 0.8, 1.0, 0.35, 0.0, 0.6)


def grid(rows: int, columns: int) -> Grid:
    """A window in the middle of tile 31UFQ."""
    return Grid("EPSG:32631", (10.0, 0.0, 650000.0, 0.0, -10.0, 5550000.0), (rows, columns))


def truth(day: int, fields: np.ndarray, texture: np.ndarray) -> np.ndarray:
    """Reflectance of every field on a day: greening by field, one harvest on day 25."""
    generator = np.random.default_rng(1)
    count = int(fields.max()) + 1
    onset = generator.uniform(-10, 60, count)
    green = 1 / (1 + np.exp(-(day - onset) / 7))
    cut = (generator.random(count) < 0.2) & (day > 25)
    green[cut] = 0.08
    soil = generator.uniform(0.85, 1.2, count)
    g, s = green[fields], soil[fields] * (1 + 0.12 * texture)
    soil_spectrum, leaf = np.array([0.07, 0.10, 0.14, 0.22]), np.array([0.03, 0.06, 0.035, 0.42])
    mixed = soil_spectrum[:, None, None] * (1 - g) * s + leaf[:, None, None] * g * (
        1 + 0.05 * texture
    )
    return mixed.astype(np.float32)


def landscape(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Fields as nearest seeds with a stretched distance, and a fine texture."""
    generator = np.random.default_rng(0)
    count = 60
    seeds = generator.uniform(0, 1, (count, 2)) * (rows, columns)
    angle = 0.4
    r, c = np.mgrid[:rows, :columns]
    u = (r * np.cos(angle) + c * np.sin(angle))[None] - (
        seeds[:, 0] * np.cos(angle) + seeds[:, 1] * np.sin(angle)
    )[:, None, None]
    v = (-r * np.sin(angle) + c * np.cos(angle))[None] - (
        -seeds[:, 0] * np.sin(angle) + seeds[:, 1] * np.cos(angle)
    )[:, None, None]
    fields = np.maximum(np.abs(u), 0.6 * np.abs(v)).argmin(axis=0)
    return fields, gaussian_filter(generator.normal(size=(rows, columns)), 1.2) * 2


def cloud(share: float, shape: tuple[int, int], seed: int) -> np.ndarray:
    """Optical thickness 0..1 whose upper ``share`` of pixels counts as cloud."""
    generator = np.random.default_rng(100 + seed)
    field = sum(gaussian_filter(generator.normal(size=shape), s) * s for s in (4, 10, 28))
    if share in {0.0, 1.0}:
        return np.full(shape, share) * (0.85 + 0.1 * np.tanh(field))
    limit = np.quantile(field, 1 - share)
    return np.clip((field - limit) / field.std() + 0.15, 0, 1) * (field > limit)


def make_region(
    folder: Path, rows: int = 96, columns: int = 120
) -> tuple[tuple[Artifact, ...], tuple[Artifact, ...]]:
    """Write all rasters and return (reconstructions, optical), absent ones included."""
    shape = (rows, columns)
    fields, texture = landscape(rows, columns)
    made, acquired = [], []
    for i, share in enumerate(CLOUD_SHARES):
        time = START + timedelta(days=5 * i)
        thick = cloud(share, shape, i)
        made.append(_reconstruction(folder, i, time, thick, truth(5 * i, fields, texture)))
        cloudy = thick * 0.62 + truth(5 * i, fields, texture) * (1 - thick)
        path = folder / f"optical-{i}.tif"
        write_cog(path, cloudy.astype(np.float32), grid(*shape), BANDS, REFLECTANCE)
        acquired.append(_artifact("optical", i, time, {"reflectance": path}, {}))
    time = START + timedelta(days=43)
    made.append(_reconstruction(folder, 99, time, np.ones(shape), truth(43, fields, texture)))
    outside = {"id": "S2A_20230520", "tile": "31UFQ", "datetime": "2023-05-20T10:56:19+00:00"}
    made.append(Artifact(key="f" * 64, step="reconstruct", tags=outside, absent="outside swath"))
    return tuple(made), tuple(acquired)


def _reconstruction(
    folder: Path, i: int, time: datetime, thick: np.ndarray, clean: np.ndarray
) -> Artifact:
    """Write one date: hidden pixels get an error and QA 2, 3 or 4."""
    generator = np.random.default_rng(200 + i)
    hidden = thick > 0.02
    sigma = np.where(hidden, 0.012 + 0.03 * thick, 0.004) * np.ones((4, 1, 1))
    noise = gaussian_filter(generator.normal(size=thick.shape), 2) * 2.5
    values = clean + hidden * noise * sigma
    edge = np.arange(thick.shape[1])[None, :] > 0.85 * thick.shape[1]
    qa = np.where(hidden, np.where(edge, 4, 2 if i % 2 else 3), 1).astype(np.uint8)
    qa[:4, :6] = 0
    values[:, qa == 0] = np.nan
    place = grid(*thick.shape)
    files = {n: folder / f"{n}-{i}.tif" for n in ("reflectance", "qa", "uncertainty")}
    write_cog(files["reflectance"], values.astype(np.float32), place, BANDS, REFLECTANCE)
    write_cog(files["qa"], qa[None], place, ("qa",), QA)
    write_cog(files["uncertainty"], sigma.astype(np.float32), place, BANDS, SIGMA)
    return _artifact("reconstruct", i, time, files, _facts(i, hidden, qa))


def _facts(i: int, hidden: np.ndarray, qa: np.ndarray) -> dict:
    counts = np.bincount(qa.ravel(), minlength=6)[1:6]
    shares = {str(k + 1): n / counts.sum() for k, n in enumerate(counts.tolist()) if n}
    others = [j for j in range(len(CLOUD_SHARES)) if j != i and abs(j - min(i, 8)) <= 4]
    candidates = [
        {
            "id": f"S2A_{(START + timedelta(days=5 * j)):%Y%m%d}",
            "date": f"{(START + timedelta(days=5 * j)):%Y%m%d}",
            "clear_share": 1 - CLOUD_SHARES[j],
            "used": CLOUD_SHARES[j] < 0.7,
            "reason": None if CLOUD_SHARES[j] < 0.7 else "fully cloudy over the hidden pixels",
        }
        for j in others
    ]
    radar = {"id": "S1A_20230404T174103", "gap_hours": 30.4} if i % 2 else None
    return {
        "clear_share": None if i == 99 else round(1 - float(hidden.mean()), 4),
        "valid_share": 1.0,
        "nearest_clear_days": float(5 * min(abs(i - j) for j in (0, 7) if j != i)),
        "radar": radar,
        "candidates": candidates,
        "qa_shares": shares,
        "method": "regression",
        "notes": ["No DEM was given."] + (["Few usable dates after this one."] if i == 8 else []),
    }


def _artifact(step: str, i: int, time: datetime, files: dict, facts: dict) -> Artifact:
    name = f"S2A_{time:%Y%m%d}" if i != 99 else f"virtual_{time:%Y%m%d}"
    tags = {"id": name, "tile": "31UFQ", "datetime": time.isoformat(), "sensor": "msi"}
    return Artifact(key=f"{i:064d}", step=step, tags=tags, files=files, facts=facts)


def radar_passes() -> tuple[Artifact, ...]:
    """Radar scenes every six days; no files are needed for the time line."""
    return tuple(
        Artifact(
            key=f"r{i}",
            step="radar",
            tags={"datetime": (START + timedelta(days=6 * i, hours=7)).isoformat()},
        )
        for i in range(8)
    )


def score_rows() -> list[ScoreRow]:
    """Scores of four methods on twelve units; regression leads where the land changes."""
    generator = np.random.default_rng(4)
    rows = []
    for unit in range(12):
        level = generator.uniform(0.8, 1.3)
        for method, base, change in (
            ("nearest", 0.018, 0.055),
            ("linear", 0.013, 0.045),
            ("harmonic", 0.015, 0.040),
            ("regression", 0.013, 0.024),
        ):
            for g, gap in enumerate(("0-10", "10-20", "20-40", ">40")):
                for stratum, error in (("stable", base), ("changed", change)):
                    e = error * level * (1 + 0.35 * g) * generator.uniform(0.93, 1.07)
                    n = int(generator.integers(300, 3000))
                    rows.append(_score(unit, method, gap, stratum, e, n))
    return rows


def _score(unit: int, method: str, gap: str, stratum: str, e: float, n: int) -> ScoreRow:
    date = START + timedelta(days=5 * (unit % 4))
    shape = START + timedelta(days=5 * (unit // 4 + 5))
    within = 0.68 if method != "harmonic" else 0.5
    return ScoreRow(
        date=f"{date:%Y%m%d}",
        shape=f"{shape:%Y%m%d}",
        method=method,
        gap_class=gap,
        stratum=stratum,
        bands=BANDS,
        pixels=n,
        abs_sum=(e * n,) * 4,
        sq_sum=(1.6 * e * e * n,) * 4,
        err_sum=(0.1 * e * n,) * 4,
        within=(within * n,) * 4,
        sam_sum=2.5 * e * n,
        ssim_sum=(1 - 4 * e) * n,
        ssim_pixels=n,
    )
