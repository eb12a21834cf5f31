#!/usr/bin/env python3
"""Scores are compared with severities as rank.py says, and severities mean what distortions.py says. No I/O."""

import importlib.util
import unittest

import rank


class Ranked(unittest.TestCase):
    def test_a_score_that_falls_as_severity_rises_correlates_by_one_whatever_its_scale(self):
        self.assertAlmostEqual(rank.srcc([9, 4, 3, -100], [0.0, 0.1, 0.5, 0.6]), 1)
        self.assertAlmostEqual(rank.srcc([1, 2, 3, 4], [0.0, 0.1, 0.5, 0.6]), -1)

    def test_equal_values_share_their_rank(self):
        self.assertEqual(rank.ranks([5, 1, 5, 3]), [2.5, 0, 2.5, 1])
        # By the formula for ties: 9.5 / sqrt(10 * 9.5).
        self.assertAlmostEqual(rank.srcc([5, 4, 3, 2, 1], [1, 2, 3, 4, 4]), 9.5 / (10 * 9.5) ** 0.5)

    def test_what_never_changes_has_no_correlation(self):
        self.assertIsNone(rank.srcc([1, 1, 1], [1, 2, 3]))

    def test_units_are_resampled_whole(self):
        # Within each unit the order is perfect; pooled, the units' levels spoil it.
        rows = [(unit, 10 * unit - n, n) for unit in range(8) for n in range(5)]
        inside, _, units = rank.within(rows)
        found, (low, high), _ = rank.pooled(rows)
        self.assertAlmostEqual(inside, 1)
        self.assertEqual(units, 8)
        self.assertTrue(found < 0.5 and low < high < 1, (low, found, high))


@unittest.skipUnless(importlib.util.find_spec("cv2"), "wants the packages of peers/shots.txt")
class Spoilt(unittest.TestCase):
    def test_every_kind_takes_a_picture_farther_from_itself_the_more_severe_it_is(self):
        import distortions
        import numpy
        grid = numpy.mgrid[0:90, 0:160].astype(numpy.float32)
        picture = numpy.stack([128 + 100 * numpy.sin(grid[0] / 3), 128 + 120 * numpy.cos(grid[1] / 5), grid[0] + grid[1]], 2)
        picture = distortions.clipped(picture)
        for kind in distortions.KINDS:
            far = [float(abs(distortions.spoil(numpy.random.default_rng(1), picture, kind, severity) - picture).mean())
                   for severity in (0.1, 0.4, 0.7, 1.0)]
            self.assertTrue(all(a < b for a, b in zip(far, far[1:])), (kind, far))

    def test_the_same_seed_gives_the_same_pictures_and_another_gives_others(self):
        import distortions
        import numpy
        picture = numpy.full((32, 64, 3), 100, numpy.float32)
        picture[:, 32:] = 180
        given = [[(kinds, severities, shown.tobytes()) for kinds, severities, shown in distortions.spoilt(seed, 0, picture, 1)]
                 for seed in (1, 1, 2)]
        self.assertTrue(given[0] == given[1] and given[0] != given[2])
        self.assertEqual(len(given[0]), 1 + distortions.TIMES * len(distortions.KINDS))


if __name__ == "__main__":
    unittest.main()
