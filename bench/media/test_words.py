"""Words heard against words said. No I/O."""

import unittest

import words


class Words(unittest.TestCase):
    def test_case_and_punctuation_do_not_count_and_apostrophes_do(self):
        self.assertEqual(words.normalised("It WASN’T -- 'well-known', was it?"), ["it", "wasn't", "well", "known", "was", "it"])

    def test_edits_are_the_fewest_and_in_order(self):
        said, heard = "the cat sat on the mat".split(), "the bat sat the mat now".split()
        self.assertEqual(words.errors(said, heard), 3)
        self.assertEqual(words.steps(["a", "b", "c"], ["b", "c", "d"]), [(0, None), (1, 0), (2, 1), (None, 2)])
        self.assertEqual(words.errors([], []), 0)
        self.assertEqual(words.errors(["a"], []), 1)

    def test_rates_are_of_all_words_together(self):
        rate, (low, high), mixes = words.pooled([(10, 100), (0, 900)])
        self.assertEqual((rate, mixes), (1.0, 2))
        self.assertLessEqual(low, rate)
        self.assertLessEqual(rate, high)

    def test_a_paired_difference_does_not_see_what_both_find_hard(self):
        points, (low, high), _ = words.difference([(50, 50, 100), (1, 1, 100), (80, 80, 100)])
        self.assertEqual((points, low, high), (0.0, 0.0, 0.0))
        self.assertEqual(words.difference([(2, 1, 100)])[0], 1.0)

    def test_what_lies_between_good_and_bad_counts_for_neither(self):
        told = words.gate([(0.5, True), (0.13, False), (0.1, True), (0.02, False), (0.01, True)])
        self.assertEqual([told[name][:2] for name in ("bad", "good")], [(1, 2), (1, 2)])


if __name__ == "__main__":
    unittest.main()
