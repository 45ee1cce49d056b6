"""Published STAC schemas, kept as data; README.md names sources and licences."""
