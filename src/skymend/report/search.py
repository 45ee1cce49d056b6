"""The door of ``skymend search``: ask, choose, pair, print the table, draw the map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from skymend.core.errors import ConfigError
from skymend.core.files import write_json, write_text
from skymend.report.footprints import check_name, draw_footprints
from skymend.sources.area import Area
from skymend.sources.clear import Best
from skymend.sources.finding import Found, Wish, days, find
from skymend.sources.pairing import PairingRules
from skymend.sources.protocol import Filters, Settings
from skymend.sources.registry import open_source

if TYPE_CHECKING:
    from skymend.sources.transfer import Receipt

TABLE_WIDTH = 180


@dataclass(frozen=True, eq=False)
class SearchAnswer:
    """What to print, and whether everything asked for was found."""

    text: str
    found: Found

    @property
    def exit_code(self) -> int:
        """0, or that of "no image" (67) when something is missing."""
        from skymend.core.errors import NoImageError

        return 0 if self.found.complete else NoImageError.exit_code


def search_door(
    provider: str,
    collection: str,
    area: str | Path,
    periods: Sequence[str],
    *,
    settings: Settings | None = None,
    filters: Filters | None = None,
    best: Best | None = None,
    cloud_max: float = 0.1,
    coverage_min: float = 0.99,
    scene_classes: Path | None = None,
    radar_provider: str | None = None,
    radar_collection: str = "sentinel-1-grd",
    rules: PairingRules | None = None,
    csv: Path | None = None,
    picture: Path | None = None,
    items: Path | None = None,
    width: int = TABLE_WIDTH,
) -> SearchAnswer:
    """Search a provider and tell about every candidate.

    Parameters
    ----------
    provider, collection : whom to ask for what.
    area : a file (GeoJSON, Shapefile, WKT) or text, see :meth:`Area.read`.
    periods : ``YYYY-MM-DD/YYYY-MM-DD`` each; with ``best`` one date is chosen in each.
    best, cloud_max, coverage_min, scene_classes : how, see :class:`Wish` and :func:`find`.
    radar_provider, radar_collection, rules : pair radar with the chosen dates.
    csv, picture, items : files to write: the table, the map (PNG), the chosen STAC items.
    width : characters of the screen.

    Raises
    ------
    ConfigError
        if an argument is wrong; errors of the provider as they are.
    """
    if not periods:
        raise ConfigError(
            where="period", expected="at least one", found="none", fix="give START/END"
        )
    if picture is not None:
        check_name(picture)
    opened = settings or Settings()
    wish = Wish(
        collection,
        Area.read(area),
        tuple(days(text, "period") for text in periods),
        filters or Filters(),
        best,
        cloud_max,
        coverage_min,
    )
    found = find(
        open_source(provider, opened),
        wish,
        radar=None if radar_provider is None else open_source(radar_provider, opened),
        radar_collection=radar_collection,
        rules=rules,
        scene_classes=scene_classes,
    )
    _write(found, csv, picture, items)
    return SearchAnswer(_text(found, width), found)


def fetch_found(
    found: Found,
    provider: str,
    radar_provider: str | None,
    settings: Settings,
    assets: Sequence[str],
    folder: Path,
) -> tuple[Receipt, ...]:
    """Fetch what a search chose: optical assets as asked, radar products whole.

    Raises
    ------
    SkymendError
        as the providers do; what was fetched before stays.
    """
    from skymend.sources.downloads import download_items

    radar = [c.item for one in found.radar for c in one.candidates]
    names = {item.id for item in radar}
    optical = [item for item in found.items if item.id not in names]
    receipts = download_items(open_source(provider, settings), optical, assets, folder)
    if not radar:
        return receipts
    source = open_source(radar_provider or provider, settings)
    return receipts + download_items(source, radar, (), folder)


def _write(found: Found, csv: Path | None, picture: Path | None, items: Path | None) -> None:
    if csv is not None:
        write_text(csv, found.table.csv())
    if picture is not None:
        draw_footprints(found, picture)
    if items is not None:
        features = [item.to_dict(include_self_link=False) for item in found.items]
        write_json(items, {"type": "FeatureCollection", "features": features})


def _text(found: Found, width: int) -> str:
    chosen = sum(row.chosen for row in found.table.rows)
    lines = [found.table.text(width)] if found.table.rows else []
    lines += [f"note: {note}" for note in found.notes]
    lines.append(f"{len(found.table.rows)} candidates, {chosen} chosen (*)")
    return "\n".join(lines)
