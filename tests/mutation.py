"""Damaging files at random, the same way for the same seed."""

import random


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
