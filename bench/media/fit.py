#!/usr/bin/env python3
"""Fits the scales of engines/thumbnails/src/faults.rs to pictures of known faults, and prints them as Rust.

usage: distortions.py SOURCES FFMPEG tune | measure | fit.py   (`measure` is the example of engines/thumbnails)
Reads standard input, writes standard output; nothing else. Wants the packages of peers/shots.txt.

Each fault is fitted to the pictures that have it and to sound ones: its inputs are weighed by least squares, then the sum is
brought to severities by the best rising curve (pool of adjacent violators), of which a few knots are kept. Photographs count
double, because they are fewer than the frames of one film and differ more.
"""

import json
import sys

import numpy

KINDS = {"blur": ("blur", "downscale"), "noise": ("noise",), "blocks": ("jpeg",), "banding": ("banding",), "dark": ("under",),
         "bright": ("over",), "flat": ("contrast",)}
KNOTS = 9
FLOOR = 0.01
RIDGE = 0.3


def rising(values, weights):
    """The rising curve that is nearest to the values."""
    level, weight, count = [], [], []
    for value, much in zip(values, weights):
        level.append(value), weight.append(much), count.append(1)
        while len(level) > 1 and level[-2] > level[-1]:
            both = weight[-2] + weight[-1]
            level[-2:] = [(level[-2] * weight[-2] + level[-1] * weight[-1]) / both]
            weight[-2:], count[-2:] = [both], [count[-2] + count[-1]]
    return numpy.repeat(level, count)


def scale(inputs, severities, weights):
    """(weights of the inputs, knots)."""
    if inputs.shape[1] == 1:
        factors = numpy.ones(1)
    else:
        root = numpy.sqrt(weights)
        given = numpy.c_[inputs, numpy.ones(len(inputs))]
        factors = numpy.linalg.lstsq(numpy.r_[given * root[:, None], RIDGE * numpy.eye(given.shape[1])],
                                     numpy.r_[severities * root, numpy.zeros(given.shape[1])], rcond=None)[0][:-1]
    sums = inputs @ factors
    order = numpy.argsort(sums, kind="stable")
    curve, sums = rising(severities[order], weights[order]), sums[order]
    # Smoothed a little, so that a knot does not hang on one picture.
    window = max(1, len(sums) // 40)
    curve = numpy.convolve(numpy.pad(curve, window, mode="edge"), numpy.ones(2 * window + 1) / (2 * window + 1), mode="valid")
    knots = []
    for wanted in numpy.linspace(curve[0], curve[-1], KNOTS):
        # The first knot is where the curve leaves its floor.
        place = numpy.searchsorted(curve, wanted) if knots else numpy.searchsorted(curve, wanted + FLOOR, "right") - 1
        at = float(sums[numpy.clip(place, 0, len(sums) - 1)])
        if not knots or at > knots[-1][0] + 1e-3:
            knots.append((at, float(wanted)))
    return factors, knots


def main():
    told = [json.loads(line) for line in sys.stdin]
    kinds = [(one["about"]["kinds"] or [None])[0] for one in told]
    severities = numpy.array([(one["about"]["severities"] or [0])[0] for one in told])
    weights = numpy.array([1.0 if ":" in one["about"]["content"] else 2.0 for one in told])
    for fault, own in KINDS.items():
        chosen = numpy.array([kind is None or kind in own for kind in kinds])
        inputs = numpy.array([one[fault] for one, is_chosen in zip(told, chosen) if is_chosen])
        factors, knots = scale(inputs, severities[chosen], weights[chosen])
        written = ", ".join(f"({x:.3f}, {y:.3f})" for x, y in knots)
        print(f"const {fault.upper()}: Scale<{len(factors)}> = Scale {{\n    weights: [{', '.join(f'{w:.3f}' for w in factors)}],\n"
              f"    knots: &[{written}],\n}};")


if __name__ == "__main__":
    main()
