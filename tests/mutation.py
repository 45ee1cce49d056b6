"""Damaging files at random, the same way for the same seed."""

import io
import json
import random
import re
import zipfile
from copy import deepcopy

_MARKED = re.compile(rb'>([^<>]+)<|="([^"]*)"|= *([^\n=]+)\n')
_TEXTS = (
    *(b"nan", b"-1", b"1e999", b"", b"9" * 30, b"0", b"\xff", b"a b", b"1.5", b"-inf", b"\xc2\xb2"),
    *(
        b"../../etc/passwd",
        b"EPSG:99999",
        b"0001-01-01T00:00:00+14:00",
        b"99.99",
        b"1e-320",
        b"2" * 5000,
    ),
)
_VALUES = (
    *(None, True, -1, 1.5, 10**400, "", "nan", "9" * 30, "a\nb", "../..", "\ud800", "\0", [], {}),
    *([[]], {"": None}, float("nan"), float("inf"), [1e308] * 6, "0001-01-01T00:00:00+14:00"),
)


def mutate(content, seed):
    """Damage a text: cut, swap, repeat, or put other numbers and bytes in."""
    dice = random.Random(seed)
    data = bytearray(content)
    for _ in range(dice.randint(1, 6)):
        start = dice.randrange(len(data))
        size = min(dice.choice((1, 1, 4, 16, 200, 5000)), len(data) - start)
        change = dice.randrange(5)
        if change == 0:
            del data[start : start + size]
        elif change == 1:
            data[start : start + size] = bytes(dice.randrange(256) for _ in range(size))
        elif change == 2:
            data[start:start] = data[start : start + size]
        elif change == 3:
            data[start : start + size] = dice.choice(
                (b"nan", b"-1", b"1e999", b"", b"<a>", b"9" * 30, b"0", b"\xff")
            )
        else:
            del data[start:]
            break
        if not data:
            data = bytearray(b"<")
    return bytes(data)


def distort(content, seed):
    """Damage a file so that its form survives: values of XML, JSON or key = value, zip members.

    What only damaged bytes reach ends in the parser of the form; this reaches what comes after.
    """
    dice = random.Random(seed)
    if content[:2] == b"PK":
        return _distort_zip(content, dice)
    document = _json(content)
    if document is not None:
        for _ in range(dice.randint(1, 3)):
            _distort_value(document, dice)
        return json.dumps(document[0]).encode()
    return _distort_marked(content, dice)


def _json(content):
    """Return a JSON document in a list of its own, None of anything else."""
    if content.lstrip()[:1] not in {b"{", b"["}:
        return None
    try:
        return [json.loads(content)]
    except ValueError:
        return None


def _distort_marked(content, dice):
    """Put other texts between tags, into attributes, or behind ``=``; or drop an element."""
    for _ in range(dice.randint(1, 3)):
        marks = list(_MARKED.finditer(content))
        if not marks:
            return mutate(content or b"<", dice.random())
        mark = dice.choice(marks)
        group = mark.lastindex
        start, stop = mark.span(group)
        if dice.randrange(4) == 0:
            start = content.rfind(b"<", 0, start)
            name = re.match(rb"<([\w:.-]+)", content[start:])
            end = content.find(b"</" + name[1] + b">", stop) if name else -1
            if end > 0:
                content = content[:start] + content[end + len(name[1]) + 3 :]
            continue
        content = content[:start] + dice.choice(_TEXTS) + content[stop:]
    return content


def _distort_value(document, dice):
    """Replace, drop or repeat one value anywhere in a JSON document."""
    here = document
    key = 0
    while isinstance(here[key], (dict, list)) and here[key] and dice.randrange(8):
        here = here[key]
        key = dice.choice(sorted(here)) if isinstance(here, dict) else dice.randrange(len(here))
    change = dice.randrange(4)
    if change == 0 and here is not document:
        del here[key]
    elif change == 1 and isinstance(here, list) and here is not document:
        here.insert(key, deepcopy(here[key]))
    else:
        here[key] = deepcopy(dice.choice(_VALUES))


def _distort_zip(content, dice):
    """Damage one member, its name or its attributes, or leave it out; the rest stays whole."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        names = old.namelist()
        victim = dice.choice(names)
        change = dice.randrange(6)
        for name in names:
            info, data = zipfile.ZipInfo(name), old.read(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            if name == victim:
                if change == 0:
                    continue
                if change == 1:
                    info.filename = dice.choice(
                        ("/etc/x", "../x", "a\\b", "C:x", "", "a//b", "é" * 200, names[0])
                    )
                elif change == 2:
                    info.external_attr = dice.choice((0o120777, 0o020777, 0o040777)) << 16
                elif data:
                    data = (mutate if change == 3 else distort)(data, dice.random())
            new.writestr(info, data)
    return out.getvalue()
