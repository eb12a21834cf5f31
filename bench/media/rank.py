"""How well scores follow known severities: Spearman's rank correlation, with intervals over independent units. No I/O."""

import collections
import random
import statistics

ROUNDS = 1000


def ranks(values):
    """Each value's rank; those that are equal share the mean of theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    given = [0.0] * len(values)
    first = 0
    while first < len(order):
        last = first
        while last + 1 < len(order) and values[order[last + 1]] == values[order[first]]:
            last += 1
        for nth in range(first, last + 1):
            given[order[nth]] = (first + last) / 2
        first = last + 1
    return given


def srcc(scores, severities):
    """Spearman's rank correlation of a score, higher for better, with how bad things are: 1 when it falls as they rise; None
    where one of the two never changes."""
    if len(set(scores)) < 2 or len(set(severities)) < 2:
        return None
    return -statistics.correlation(ranks(scores), ranks(severities))


def pooled(rows):
    """(correlation over all rows, (low, high), units): `rows` are (unit, score, severity). The interval holds 95 of 100
    resamplings of the units, each with all of its rows."""
    units = collections.defaultdict(list)
    for unit, *row in rows:
        units[unit].append(row)
    kept, dice, seen = list(units.values()), random.Random(7), []
    for _ in range(ROUNDS):
        drawn = [row for unit in dice.choices(kept, k=len(kept)) for row in unit]
        if (found := srcc(*zip(*drawn))) is not None:
            seen.append(found)
    seen.sort()
    return srcc(*zip(*(row for unit in kept for row in unit))), (seen[len(seen) // 40], seen[-len(seen) // 40 - 1]), len(kept)


def within(rows):
    """(median of the units' own correlations, (low, high), units); the interval resamples the units."""
    units = collections.defaultdict(list)
    for unit, *row in rows:
        units[unit].append(row)
    own = [found for rows in units.values() if (found := srcc(*zip(*rows))) is not None]
    dice = random.Random(7)
    seen = sorted(statistics.median(dice.choices(own, k=len(own))) for _ in range(ROUNDS))
    return statistics.median(own), (seen[ROUNDS // 40], seen[-ROUNDS // 40 - 1]), len(own)
