"""Words heard against words said, and how well an estimate of their difference tells which titles to hold. No I/O."""

import collections
import random
import re

from score import wilson

ROUNDS = 1000


def normalised(text):
    """The words that count, as engines/subtitles/src/wer.rs has them: case, punctuation and hyphens do not, apostrophes inside do."""
    parts = re.split(r"[^\w']+", text.lower().replace("’", "'").replace("‘", "'").replace("_", " "))
    return [word for part in parts if (word := part.strip("'"))]


def steps(said, heard):
    """The least edits from one list of words to the other, in order: (place in said or None, place in heard or None)."""
    table = [list(range(len(heard) + 1))]
    for nth, word in enumerate(said):
        row = [nth + 1]
        for place, other in enumerate(heard):
            row.append(min(table[-1][place] + (word != other), table[-1][place + 1] + 1, row[-1] + 1))
        table.append(row)
    taken, one, two = [], len(said), len(heard)
    while one or two:
        if one and two and table[one][two] == table[one - 1][two - 1] + (said[one - 1] != heard[two - 1]):
            one, two = one - 1, two - 1
            taken.append((one, two))
        elif one and table[one][two] == table[one - 1][two] + 1:
            one -= 1
            taken.append((one, None))
        else:
            two -= 1
            taken.append((None, two))
    return taken[::-1]


def errors(said, heard):
    """Edits between two lists of words."""
    return sum(one is None or two is None or said[one] != heard[two] for one, two in steps(said, heard))


def pooled(rows):
    """(percent wrong, (low, high), mixes) of rows (edits, words); the interval resamples the mixes."""
    dice = random.Random(7)
    rate = lambda drawn: 100 * sum(edits for edits, _ in drawn) / max(1, sum(words for _, words in drawn))
    seen = sorted(rate(dice.choices(rows, k=len(rows))) for _ in range(ROUNDS))
    return rate(rows), (seen[ROUNDS // 40], seen[-ROUNDS // 40 - 1]), len(rows)


def difference(rows):
    """(points, (low, high), mixes) by which the first of two hears worse, of rows (edits, other's edits, words), paired."""
    dice = random.Random(7)
    points = lambda drawn: 100 * sum(one - two for one, two, _ in drawn) / max(1, sum(words for *_, words in drawn))
    seen = sorted(points(dice.choices(rows, k=len(rows))) for _ in range(ROUNDS))
    return points(rows), (seen[ROUNDS // 40], seen[-ROUNDS // 40 - 1]), len(rows)


def gate(rows, bad=0.12, good=0.08):
    """{"bad": (held, of, interval), "good": ...}: of mixes that are worse than `bad` and better than `good`, rows (rate, held)."""
    told = collections.OrderedDict()
    for name, kind in (("bad", [held for rate, held in rows if rate > bad]), ("good", [held for rate, held in rows if rate < good])):
        told[name] = (sum(kind), len(kind), wilson(sum(kind), len(kind)))
    return told
