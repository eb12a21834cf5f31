#!/usr/bin/env python3
"""Finds are scored as score.py says. No I/O."""

import unittest

import score
import score_copies

TRUTH = {
    "changes": [{"kind": "cut", "from": 100, "to": 100, "unit": "a"}, {"kind": "dissolve12", "from": 200, "to": 213, "unit": "b"},
                {"kind": "fade", "from": 300, "to": 330, "unit": "c"}],
    "events": [{"kind": "flash", "from": 400, "to": 403, "unit": "a"}, {"kind": "pan", "from": 500, "to": 508, "unit": "b"}],
}


def tally(*found, points=False):
    told = score.Tally()
    told.add("reel", found, TRUTH, points)
    return told


def count(told, kind):
    return sum(told.counts[kind].values(), score.Count())


class Scored(unittest.TestCase):
    def test_a_cut_is_right_to_the_frame_or_one_beside_it_and_once(self):
        for at, hits, false in ((99, 1, 0), (101, 1, 0), (102, 0, 1)):
            self.assertEqual(count(tally(("cut", at, at)), "cut"), score.Count(hits, 1 - hits, false), at)
        self.assertEqual(count(tally(("cut", 100, 100), ("cut", 101, 101)), "cut"), score.Count(1, 0, 1))

    def test_a_span_is_right_when_it_shares_half_of_the_union(self):
        self.assertEqual(count(tally(("dissolve", 200, 213)), "dissolve12"), score.Count(1, 0, 0))
        self.assertEqual(count(tally(("dissolve", 207, 213)), "dissolve12"), score.Count(1, 0, 0))
        self.assertEqual(count(tally(("dissolve", 208, 213)), "dissolve12"), score.Count(0, 1, 1))
        self.assertEqual(count(tally(("fade", 200, 213)), "dissolve12"), score.Count(1, 0, 0), "its name does not matter")

    def test_a_frame_inside_a_span_counts_only_for_those_who_tell_of_frames(self):
        self.assertEqual(count(tally(("cut", 205, 205)), "dissolve12"), score.Count(0, 1, 1))
        self.assertEqual(count(tally(("cut", 205, 205), points=True), "dissolve12"), score.Count(1, 0, 0))
        self.assertEqual(count(tally(("cut", 310, 310), ("cut", 320, 320), points=True), "fade"), score.Count(1, 0, 1))

    def test_what_is_told_of_an_event_is_its_false_alarm_and_nobody_elses(self):
        told = tally(("cut", 401, 401), ("dissolve", 498, 503))
        self.assertEqual((told.alarms("flash")[0], told.alarms("pan")[0], count(told, "cut").false), (100, 100, 0))
        self.assertEqual(count(tally(("dissolve", 600, 620)), "dissolve").false, 1)

    def test_intervals_hold_the_figure_and_shrink_with_more(self):
        f1, (low, high), n, _ = tally(("cut", 100, 100), ("cut", 50, 50)).f1("cut")
        self.assertTrue(low <= f1 <= high and n == 1)
        few, many = score.wilson(0, 10), score.wilson(0, 400)
        self.assertTrue(few[0] == many[0] == 0 and many[1] < 0.01 < few[1])



class Copies(unittest.TestCase):
    TRUTH = {"query": "q", "kind": "intro", "title": "t", "domain": "real", "steps": ["intro"], "drawn": {"intro": 10.0}, "speed": 1.0}

    @staticmethod
    def answer(**match):
        ours = [{"title": "t", "class": "AlternateCut", "offset": -10.4, "speed": 1.0, "ofQuery": 0.8, "ofOther": 1.0,
                 "segments": [{"side": "picture"}]} | match]
        return {"query": "q", "ours": ours, "vpdq": [], "chromaprint": ["t", "other"]}

    def counted(self, truth, answer):
        found = score_copies.Found()
        found.add(truth, answer)
        return found

    def test_a_copy_counts_where_it_was_made_of_and_a_foreign_title_is_false(self):
        found = self.counted(self.TRUTH, self.answer())
        count = found.kinds["real", "intro"]
        self.assertEqual((count["n"], count["ours"], count["vpdq"], count["chromaprint"], count["called"]), (1, 1, 0, 1, 1))
        self.assertEqual((count["placed"], count["seen"], count["heard"]), ([True], 1, 0))
        self.assertEqual((found.false["ours"], found.false["chromaprint"]), ([], [("q", ["other"])]))

    def test_an_offset_that_is_wrong_and_a_class_that_is_wrong_are_told_apart_from_recall(self):
        count = self.counted(self.TRUTH, self.answer(offset=0.0) | {"vpdq": ["t"]}).kinds["real", "intro"]
        self.assertEqual((count["ours"], count["placed"]), (1, [False]))
        count = self.counted(self.TRUTH, self.answer(**{"class": "Dub"})).kinds["real", "intro"]
        self.assertEqual((count["ours"], count["called"]), (1, 0))

    def test_whatever_a_stranger_matches_is_false(self):
        found = self.counted(self.TRUTH | {"title": None, "kind": "stranger"}, self.answer())
        self.assertEqual((found.false["ours"], dict(found.kinds)), ([("q", ["t"])], {}))


if __name__ == "__main__":
    unittest.main()
