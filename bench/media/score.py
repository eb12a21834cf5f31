"""How well changes of shot were found, by a reel's truth: hits, misses and false alarms by class, with intervals. No I/O.

Of what is found, a cut is a frame; a dissolve or a fade is a span, as in the truth. Each find counts once:
- a cut within one frame of a true cut is a hit;
- what touches a true dissolve or fade belongs to that class: a hit if it is a span that shares half of their union (IoU), or, where
  `points` are allowed because a tool tells of no spans, a cut anywhere inside; else, or for a second one, a false alarm;
- what touches an event (a flash, a whip pan) is that event's false alarm, and nobody else's;
- anything else is a false alarm of its own kind.
"""

import collections
import dataclasses
import math
import random

NEAR = 1
LEAST_OVERLAP = 0.5
ROUNDS = 2000


@dataclasses.dataclass
class Count:
    hits: int = 0
    missed: int = 0
    false: int = 0

    def __add__(self, other):
        return Count(self.hits + other.hits, self.missed + other.missed, self.false + other.false)

    @property
    def f1(self):
        total = 2 * self.hits + self.missed + self.false
        return 2 * self.hits / total if total else 1.0


def overlap(a, b):
    """Intersection over union of two spans of frames, ends included."""
    shared = min(a[1], b[1]) - max(a[0], b[0]) + 1
    return max(0, shared) / (max(a[1], b[1]) - min(a[0], b[0]) + 1)


def touches(a, b):
    return a[0] <= b[1] and a[1] >= b[0]


class Tally:
    """Counts by class and unit, over any number of reels."""

    def __init__(self):
        self.counts = collections.defaultdict(lambda: collections.defaultdict(Count))  # class -> unit -> Count
        self.events = collections.defaultdict(list)  # kind -> was there a false alarm, for each
        self.told = []  # what went wrong, for those who tune

    def add(self, reel, found, truth, points=False):
        """`found`: [(kind, from, to)], kinds `cut`, `dissolve`, `fade`. `truth`: a reel's description."""
        changes = [change | {"hit": False} for change in truth["changes"]]
        events = [event | {"alarm": False} for event in truth["events"]]

        def put(kind, unit, **one):
            self.counts[kind][f"{reel}/{unit}"] += Count(**one)

        def wrong(what, kind, span):
            self.told.append((reel, what, kind, *span))

        for kind, *span in found:
            cuts = [change for change in changes if change["kind"] == "cut" and not change["hit"]
                    and kind == "cut" and abs(change["from"] - span[0]) <= NEAR]
            if cuts:
                min(cuts, key=lambda change: abs(change["from"] - span[0]))["hit"] = True
                continue
            slow = [change for change in changes if change["kind"] != "cut" and touches(span, (change["from"], change["to"]))]
            if slow:
                best = max(slow, key=lambda change: overlap(span, (change["from"], change["to"])))
                good = points or (kind != "cut" and overlap(span, (best["from"], best["to"])) >= LEAST_OVERLAP)
                if good and not best["hit"]:
                    best["hit"] = True
                else:
                    wrong("inside", best["kind"], (kind, *span, best["from"], best["to"]))
                    put(best["kind"], best["unit"], false=1)
                continue
            if near := [event for event in events if touches(span, (event["from"] - NEAR, event["to"] + NEAR))]:
                near[0]["alarm"] = True
                wrong("alarm", near[0]["kind"], (kind, *span))
                continue
            wrong("false", kind, span)
            put(kind, "elsewhere", false=1)
        for change in changes:
            put(change["kind"], change["unit"], **({"hits": 1} if change["hit"] else {"missed": 1}))
            if not change["hit"]:
                wrong("missed", change["kind"], (change["from"], change["to"], change["unit"]))
        for event in events:
            self.events[event["kind"]].append(event["alarm"])

    def f1(self, *kinds):
        """(F1, (low, high), how many true ones) of some classes together: the interval holds 95 of 100 resamplings of the units."""
        units = collections.defaultdict(Count)
        for kind in kinds:
            for unit, count in self.counts[kind].items():
                units[unit] += count
        counts = list(units.values())
        total = sum(counts, Count())
        dice, seen = random.Random(7), []
        for _ in range(ROUNDS):
            drawn = dice.choices(counts, k=len(counts))
            hits, rest = sum(c.hits for c in drawn), sum(c.missed + c.false for c in drawn)
            seen.append(2 * hits / (2 * hits + rest) if hits + rest else 1.0)
        seen.sort()
        return total.f1, (seen[ROUNDS // 40], seen[-ROUNDS // 40 - 1]), total.hits + total.missed, total

    def alarms(self, kind):
        """(false alarms for each 100 events, (low, high) after Wilson, how many events)."""
        seen = self.events[kind]
        low, high = wilson(sum(seen), len(seen))
        return 100 * sum(seen) / max(1, len(seen)), (100 * low, 100 * high), len(seen)


def wilson(hits, n, z=1.96):
    """The 95 % interval of a share."""
    if n == 0:
        return 0.0, 1.0
    share, middle = hits / n, z * z / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, (share + middle - spread) / (1 + z * z / n)), min(1.0, (share + middle + spread) / (1 + z * z / n))
