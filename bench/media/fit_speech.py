"""The calibration of the estimate of wrong words (engines/subtitles/src/estimate.rs), from mixes that are heard.

usage: heard MODEL LANGUAGE MIXES/tune-*.wav | python fit_speech.py MIXES/tune.json
I/O: reads the truth and, from standard input, what was heard; writes a table of the mixes and the constants to standard output.

The line is the least-squares one between roots of rates (what scatters alike at both ends), told at a few points; `below` and `above`
are what all but one mix in twenty lie within on that side. These are the mixes that the line was fitted to: others lie a little farther
from it, which the bench measures (part `mixes` of `speech`).
"""

import json
import math
import statistics
import sys
from pathlib import Path

import words

POINTS = [0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0]


def line(pairs):
    """(slope, offset) between the roots of both."""
    roots = [(math.sqrt(doubt), math.sqrt(rate)) for doubt, rate in pairs]
    return statistics.linear_regression([one for one, _ in roots], [two for _, two in roots])


def beyond(sizes):
    """What all but one in twenty do not exceed."""
    ranked = sorted(sizes)
    return ranked[min(len(ranked), math.ceil(0.95 * (len(ranked) + 1))) - 1]


def main():
    truth = {mix["file"]: mix for mix in json.loads(Path(sys.argv[1]).read_text())}
    pairs, counts = [], []
    for heard in map(json.loads, sys.stdin):
        mix = truth[Path(heard["file"]).name]
        said = words.normalised(" ".join(one["text"] for one in mix["told"]))
        rate = words.errors(said, words.normalised(heard["text"])) / len(said)
        pairs.append((heard["doubted"] / max(1e-9, heard["words"]), rate))
        counts.append(len(said))
        print(f"{mix['file']} {mix['condition']:9} {mix['strength']} {mix['voice']}: doubt {pairs[-1][0]:.3f} wrong {rate:.3f}")
    fit = line(pairs)
    root = lambda doubt: max(0.0, fit.slope * math.sqrt(doubt) + fit.intercept)
    off = [math.sqrt(rate) - root(doubt) for doubt, rate in pairs]
    print(f"slope {fit.slope:.3f} offset {fit.intercept:.3f} of {len(pairs)} mixes")
    told = ", ".join(f"({doubt}, {min(1.0, root(doubt) ** 2):.4f})" for doubt in POINTS)
    print(f"        line: &[{told}],\n        below: {max(0.0, beyond([-each for each in off])):.4f},\n"
          f"        above: {max(0.0, beyond(off)):.4f},\n        words: {statistics.median(counts):.1f},")


if __name__ == "__main__":
    main()
