"""What providers and users hand over: manifests, archives, areas, answers of catalogues."""

import io
import json
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tests.fuzzing import SHARED, Parser, Target, folder, on_disk, packed
from tests.fuzzing.optical import made


def manifests() -> Iterator[Target]:
    """The list of files of a SAFE."""
    from skymend.sources.archives import manifest_digests
    from skymend.sources.cdse.contents import choose, read_manifest

    def read(path: Path) -> None:
        entries = read_manifest(path.read_bytes(), "a product")
        choose(entries, ["metadata"], "a product")
        _ = [entry.kind for entry in entries]

    for home in (made(), SHARED / "s2-safe-metadata-stactools"):
        for path in sorted(home.rglob("manifest.safe")):
            name = path.parent.name
            yield f"listing of {name}", path.read_bytes(), on_disk(folder() / path.name, read)
            parse = on_disk(folder() / path.name, manifest_digests)
            yield f"digests of {name}", path.read_bytes(), parse


def archives() -> Iterator[Target]:
    """Zip and tar archives, judged and unpacked."""
    import shutil

    from skymend.sources.archives import check, extract, verify_safe
    from skymend.sources.tarballs import untar

    def unpack(path: Path) -> None:
        target = path.parent / "out"
        try:
            check(path, manifest=True)
            extract(path, target)
            for product in target.iterdir():
                verify_safe(product)
        finally:
            # What a hostile archive leaves behind must not lie outside.
            assert {p.name for p in path.parent.iterdir()} <= {path.name, "out"}
            shutil.rmtree(target, ignore_errors=True)

    def unpack_tar(path: Path) -> None:
        try:
            untar(path, path.parent / "out")
        finally:
            assert {p.name for p in path.parent.iterdir()} <= {path.name, "out"}
            shutil.rmtree(path.parent / "out", ignore_errors=True)

    for member in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        content = _packed(member)
        yield f"{member}.zip", content, on_disk(folder() / "p.zip", unpack)
    for mode in ("w", "w:gz", "w:xz"):
        yield f"tar {mode}", _tar(mode), on_disk(folder() / "p.tar", unpack_tar)


def _tar(mode: str) -> bytes:
    import gzip
    import lzma

    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name in ("a_B4.TIF", "a_MTL.txt"):
            info = tarfile.TarInfo(name)
            info.size = 700
            archive.addfile(info, io.BytesIO(b"x" * 700))
    plain = target.getvalue()
    return {"w": plain, "w:gz": gzip.compress(plain, mtime=0), "w:xz": lzma.compress(plain)}[mode]


def _packed(method: int) -> bytes:
    import hashlib

    members, listed = {}, ""
    for name in ("MTD_MSIL2A.xml", "GRANULE/a/IMG_DATA/R10m/T_B04_10m.jp2"):
        content = members[f"P.SAFE/{name}"] = name.encode() * 30
        listed += (
            f'<dataObject><byteStream size="{len(content)}"><fileLocation href="./{name}"/>'
            f'<checksum checksumName="MD5">{hashlib.md5(content).hexdigest()}</checksum>'
            "</byteStream></dataObject>"
        )
    members["P.SAFE/manifest.safe"] = f"<XFDU>{listed}</XFDU>".encode()
    return packed(members, method)


def areas() -> Iterator[Target]:
    """GeoJSON, WKT and Shapefiles with their parts."""
    import shapefile

    from skymend.sources.area import Area, wkt_list

    def read(path: Path) -> None:
        area = Area.read(path)
        _ = area.bounds, area.km2, area.wkt, area.geojson()

    ring = [[4.0, 44.0], [4.0, 45.0], [5.0, 45.0], [5.0, 44.0], [4.0, 44.0]]
    shape = {"type": "MultiPolygon", "coordinates": [[ring], [[[x + 175, y] for x, y in ring]]]}
    feature = {"type": "Feature", "geometry": shape, "properties": {}}
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}
    made_ones = {
        "collection.geojson": {"type": "FeatureCollection", "crs": crs, "features": [feature]},
        "geometry.json": shape,
    }
    contents = {name: json.dumps(document).encode() for name, document in made_ones.items()}
    text = ", ".join(f"{x} {y}" for x, y in ring)
    contents["area.wkt"] = f"SRID=4326;POLYGON (({text}))\nMULTIPOLYGON ((({text})))\n".encode()
    # Those of other folders are in UTM, which is refused before anything else is read.
    for path in sorted((SHARED / "stac-items-odc").glob("*.geojson")):
        contents[path.name] = path.read_bytes()
    for name, content in contents.items():
        yield name, content, on_disk(folder() / name, read)
    yield "wkt_list", contents["geometry.json"], on_disk(folder() / "a.geojson", wkt_list)
    home = folder()
    with shapefile.Writer(str(home / "a.shp")) as writer:
        writer.field("n", "N")
        writer.poly([[[600_000 + 1000 * x, 4_900_000 + 1000 * y] for x, y in ring]])
        writer.record(1)
    from pyproj import CRS

    table = bytearray((home / "a.dbf").read_bytes())
    table[1:4] = b"\x7a\x06\x0f"  # the day it was written
    (home / "a.dbf").write_bytes(table)
    (home / "a.prj").write_text(CRS.from_epsg(32631).to_wkt("WKT1_ESRI"))
    for suffix in (".shp", ".shx", ".dbf", ".prj"):
        yield f"a{suffix}", (home / f"a{suffix}").read_bytes(), _part(home, suffix, read)


def _part(home: Path, suffix: str, read):
    """Return a parser of a Shapefile of which one part is damaged."""
    import shutil

    own = folder()
    shutil.copytree(home, own, dirs_exist_ok=True)
    return on_disk(own / f"a{suffix}", lambda path: read(path.with_suffix(".shp")))


def catalogues() -> Iterator[Target]:
    """A STAC catalogue on disk: items and lists of links, searched for a place and bands."""
    import shutil
    from datetime import date

    from skymend.simulate import tiny, write
    from skymend.sources import catalogue
    from skymend.sources.question import Question

    home = folder()
    scenario = tiny().model_copy(update={"size_px": 60})
    write(home, scenario, formats=("stac",))
    period = (date(2000, 1, 1), date(2030, 1, 1))

    def parser(document: Path, polarisations: tuple[str, ...]) -> Parser:
        own = shutil.copytree(home / "stac", folder() / "stac")
        question = Question.of(scenario.grid, period, ("B04",), polarisations)

        def search(path: Path) -> None:
            for product in catalogue.search(own, question, strict=False).products:
                assert product.files

        return on_disk(own / document.relative_to(home / "stac"), search)

    items = {path.parent.parent: path for path in sorted((home / "stac").glob("*/*/*.json"))}
    for path in [*sorted((home / "stac").glob("**/c*.json"))[:2], *items.values()]:
        for polarisations in ((), ("VV",)):
            yield path.name, path.read_bytes(), parser(path, polarisations)


def answers() -> Iterator[Target]:
    """Answers of catalogues, turned into items."""
    from skymend.sources.answers import field, read_json
    from skymend.sources.cdse import odata
    from skymend.sources.earthdata import granules
    from skymend.sources.naming import harmonise

    def product(content: bytes) -> None:
        odata.to_item(read_json(content, "answer"), "sentinel-1-grd", "https://localhost")

    def granule(content: bytes) -> None:
        granules.item(read_json(content, "answer"), "mod11a1", "earthdata", "answer")

    def feature(content: bytes) -> None:
        document = read_json(content, "answer")
        harmonise(document, "sentinel-2-l2a", "stac-api", where="answer").to_dict()

    def first(path: Path, key: str) -> bytes:
        return json.dumps(field(json.loads(path.read_bytes()), key, dict, path.name)).encode()

    for path in sorted(SHARED.glob("api-cdsetool-odata/query/mock/*/odata_page_1.json")):
        yield f"odata {path.parent.name}", first(path, "value.0"), product
    for path in sorted(SHARED.glob("api-earthaccess-cmr/unit/fixtures/*_umm.json")):
        yield path.name, first(path, "items.0"), granule
    for path in sorted(SHARED.glob("stac-items-odc/S2*.json")):
        yield f"item {path.name}", path.read_bytes(), feature
    for path in sorted(SHARED.glob("api-cdse-stac-geopyspark/**/FeatureCollection.json")):
        yield f"item of {path.name}", first(path, "features.0"), feature
    yield "made product", json.dumps(_ODATA).encode(), product
    yield "made item", json.dumps(_ITEM).encode(), feature
    yield "made granule", json.dumps(_GRANULE).encode(), granule


_RING = [[4.0, 44.0], [4.0, 45.0], [5.0, 45.0], [5.0, 44.0], [4.0, 44.0]]
_NAME = "S2A_MSIL2A_20220615T105031_N0400_R051_T31TFJ_20220615T170000"
_ODATA = {
    "Id": "0",
    "Name": f"{_NAME}.SAFE",
    "GeoFootprint": {"type": "Polygon", "coordinates": [_RING]},
    "ContentDate": {"Start": "2022-06-15T10:50:31.024Z", "End": "2022-06-15T10:50:31.024Z"},
    "ContentLength": 1000,
    "Online": True,
    "Attributes": [
        {"Name": "cloudCover", "Value": 12.5},
        {"Name": "relativeOrbitNumber", "Value": 51},
        {"Name": "orbitDirection", "Value": "DESCENDING"},
    ],
    "Checksum": [{"Algorithm": "MD5", "Value": "0" * 32}],
}
_ITEM = {
    "type": "Feature",
    "stac_version": "1.0.0",
    "id": _NAME,
    "geometry": {"type": "Polygon", "coordinates": [_RING]},
    "bbox": [4, 44, 5, 45],
    "properties": {
        "datetime": "2022-06-15T10:50:31.024Z",
        "platform": "sentinel-2a",
        "eo:cloud_cover": 12.5,
        "sat:relative_orbit": 51,
        "sat:orbit_state": "descending",
        "grid:code": "MGRS-31TFJ",
        "s2:processing_baseline": "04.00",
        "sar:polarizations": ["VV"],
    },
    "assets": {
        "B04": {"href": "https://localhost/B04.jp2", "roles": ["data"], "type": "image/jp2"}
    },
}
_GRANULE = {
    "meta": {"concept-id": "G1"},
    "umm": {
        "GranuleUR": "MOD11A1.A2022166.h18v04.061.2022167",
        "Platforms": [{"ShortName": "Terra"}],
        "TemporalExtent": {
            "RangeDateTime": {
                "BeginningDateTime": "2022-06-15T00:00:00Z",
                "EndingDateTime": "2022-06-15T23:59:59Z",
            }
        },
        "SpatialExtent": {
            "HorizontalSpatialDomain": {
                "Geometry": {
                    "GPolygons": [
                        {
                            "Boundary": {
                                "Points": [{"Longitude": x, "Latitude": y} for x, y in _RING]
                            }
                        }
                    ]
                }
            }
        },
        "DataGranule": {
            "ArchiveAndDistributionInformation": [
                {
                    "Name": "a.hdf",
                    "SizeInBytes": 9,
                    "Checksum": {"Value": "0" * 32, "Algorithm": "MD5"},
                }
            ]
        },
        "RelatedUrls": [{"Type": "GET DATA", "URL": "https://localhost/a.hdf"}],
    },
}

TARGETS = {
    "manifests": manifests,
    "archives": archives,
    "areas": areas,
    "catalogues": catalogues,
    "answers": answers,
}
