#!/usr/bin/env python3
"""The bench's runner does what it says: exit statuses, statistics, tables, result files. Takes a second or two.

I/O: runs bench/run on suites written into a folder of its own.
"""

import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

import harness

HERE = pathlib.Path(__file__).resolve().parent
MET = "def measure(bench): bench.row('time', 's', [1.0, 2.0, 9.0], goal=__import__('harness').Goal(2.0))"
MISSED = ("def measure(bench):\n"
          "  bench.row('time', 's', [1.0, 2.1, 2.2], goal=__import__('harness').Goal(2.0), note='tried, and it rained')\n"
          "  bench.row('other', 's', [1.0])")
ABSENT = "import harness\ndef measure(bench): raise harness.CannotRun('failed to find the moon: look up')"


def bench(suites, *arguments):
    """Runs bench/run on these suites: exit status, what it printed, result files by suite."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "suites").mkdir()
        for name, text in suites.items():
            (folder / "suites" / f"{name}.py").write_text(text)
        done = subprocess.run([sys.executable, HERE / "run", "--from", folder / "suites", "--results", folder / "results", *arguments],
                              capture_output=True, text=True, timeout=60)
        results = {path.stem: json.loads(path.read_text()) for path in (folder / "results").glob("*.json")}
        return done.returncode, done.stdout + done.stderr, results


PARTS = ("def part(name): return lambda bench: bench.row(name, 's', [{}], goal=__import__('harness').Goal(2.0))\n"
         "PARTS = {{name: part(name) for name in ('first', 'second')}}")


class Goals(unittest.TestCase):
    def test_a_goal_may_ask_for_at_least_and_for_no_less_or_more_than_the_peer(self):
        def ok(goal, ours, theirs):
            return harness.Row("F1", "", [ours], "peer", [theirs], goal).ok

        least = harness.Goal(0.95, at_least=True)
        self.assertTrue(ok(least, 0.95, 0.99))
        self.assertFalse(ok(least, 0.94, 0.9))
        no_worse = harness.Goal(0.95, at_least=True, as_good_as_peer=True)
        self.assertEqual([ok(no_worse, 0.97, peer) for peer in (0.96, 0.97, 0.98)], [True, True, False])
        fewer = harness.Goal(2, better_than_peer=True)
        self.assertEqual([ok(fewer, 1, peer) for peer in (0.5, 1, 1.5)], [False, False, True])

    def test_a_share_is_told_with_its_interval_and_of_how_many_it_is(self):
        row = harness.Row("F1", "", [0.95], interval=(0.9, 0.98), n=40)
        self.assertIn("0.95 [0.9, 0.98] n=40", harness.table([row], colour=False))
        self.assertEqual((row.document()["interval"], row.document()["n"]), ((0.9, 0.98), 40))


class Parts(unittest.TestCase):
    def test_one_part_is_measured_anew_and_the_others_stay_as_they_were_found(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "suites").mkdir()

            def run(figure, *arguments):
                (folder / "suites/one.py").write_text(PARTS.format(figure))
                status = subprocess.run([sys.executable, HERE / "run", "one", "--from", folder / "suites", "--results", folder, *arguments],
                                        capture_output=True, timeout=60).returncode
                document = json.loads((folder / "one.json").read_text())
                return status, document["ok"], {row["what"]: row["ours"]["median"] for row in document["rows"]}

            self.assertEqual(run(9, "--only", "first"), (1, False, {"first": 9}))
            self.assertEqual(run(1, "--only", "second"), (0, False, {"first": 9, "second": 1}), "what was missed stays missed")
            self.assertEqual(run(1, "--only", "first"), (0, True, {"first": 1, "second": 1}))
            self.assertEqual(run(1, "--only", "third")[0], 2)


class ExitStatus(unittest.TestCase):
    def test_a_goal_that_is_met_is_0(self):
        status, said, results = bench({"one": MET})
        self.assertEqual((status, results["one"]["ok"]), (0, True), said)

    def test_a_goal_that_is_missed_is_1_and_stays_in_the_table_with_its_reason(self):
        status, said, results = bench({"one": MISSED, "two": MET})
        self.assertEqual(status, 1, said)
        self.assertIn("MISSED", said)
        self.assertIn("tried, and it rained", said)
        self.assertEqual([row["ok"] for row in results["one"]["rows"]], [False, None])
        self.assertTrue(results["two"]["ok"])

    def test_a_suite_that_could_not_run_is_2_whatever_the_others_give_and_leaves_no_result(self):
        status, said, results = bench({"absent": ABSENT, "one": MISSED})
        self.assertEqual((status, sorted(results)), (2, ["one"]), said)
        self.assertIn("failed to find the moon: look up", said)

    def test_a_fault_in_a_suite_a_goal_without_a_figure_and_no_row_at_all_are_2(self):
        for text in ("def measure(bench): 1 / 0", "def measure(", "def measure(bench): pass",
                     "def measure(bench): bench.row('time', 's', [], goal=__import__('harness').Goal(1))"):
            self.assertEqual(bench({"broken": text})[0], 2, text)

    def test_an_unknown_suite_and_none_at_all_are_2_and_the_known_ones_are_named(self):
        status, said, _ = bench({"one": MET}, "other")
        self.assertEqual(status, 2)
        self.assertIn("the suites are one", said)
        self.assertEqual(bench({})[0], 2)

    def test_only_the_named_suite_runs(self):
        status, said, results = bench({"absent": ABSENT, "one": MET}, "one")
        self.assertEqual((status, list(results)), (0, ["one"]), said)


class Figures(unittest.TestCase):
    def test_the_median_of_an_even_number_is_between_the_middle_two(self):
        self.assertEqual(harness.spread([4.0, 1.0, 3.0, 2.0]), (1.0, 2.5, 4.0))
        self.assertEqual(harness.spread([3.0, 1.0, 2.0]), (1.0, 2.0, 3.0))
        self.assertIsNone(harness.spread([]))

    def test_ratios_are_taken_run_by_run_and_not_of_the_medians(self):
        row = harness.Row("time", "s", [1.0, 4.0, 9.0], "peer 1", [2.0, 2.0, 3.0], harness.Goal(2.0, of_ratio=True))
        self.assertEqual(row.ratios, [0.5, 2.0, 3.0])
        self.assertEqual(row.document()["ratio"], {"runs": [0.5, 2.0, 3.0], "min": 0.5, "median": 2.0, "max": 3.0})
        self.assertTrue(row.ok)
        row.goal = harness.Goal(1.9, of_ratio=True)
        self.assertFalse(row.ok)

    def test_a_goal_is_judged_by_the_median_and_is_met_when_reached(self):
        self.assertTrue(harness.Row("", "s", [1.0, 2.0, 50.0], goal=harness.Goal(2.0)).ok)
        self.assertFalse(harness.Row("", "s", [1.0, 2.001, 2.002], goal=harness.Goal(2.0)).ok)

    def test_figures_are_shown_with_three_digits(self):
        self.assertEqual([harness.figure(value) for value in (0, 0.0123456, 1.2345, 12.345, 123.45)],
                         ["0", "0.0123", "1.23", "12.3", "123"])

    def test_a_missed_goal_is_red_where_there_are_colours_and_loaded_runs_are_marked(self):
        told = harness.table([harness.Row("time", "s", [3.0], goal=harness.Goal(1.0), loaded=True)], colour=True)
        self.assertIn(harness.RED, told)
        self.assertIn("MISSED (loaded)", told)


class Runs(unittest.TestCase):
    def setUp(self):
        self.bench = harness.Bench("test", 3, 0)
        self.bench.quiet = lambda label: False

    def test_a_run_has_its_wall_and_processor_time_its_memory_and_when_each_line_came(self):
        spin = "import time\nend = time.process_time() + 0.2\nprint('a', flush=True)\nwhile time.process_time() < end: pass\nprint('b')"
        run = self.bench.run([sys.executable, "-c", spin], "spin")
        self.assertEqual(run.output, "a\nb")
        self.assertGreaterEqual(run.cpu, 0.2)
        self.assertGreaterEqual(run.ended[1] - run.ended[0], 0.1)
        self.assertLessEqual(run.ended[1], run.wall)
        self.assertGreater(run.memory, 1)

    def test_a_program_that_fails_or_is_late_could_not_run_and_its_last_words_are_told(self):
        with self.assertRaisesRegex(harness.CannotRun, "ended with 3(.|\n)*alas"):
            self.bench.run(["sh", "-c", "echo alas; exit 3"], "fails")
        with self.assertRaisesRegex(harness.CannotRun, "its 0.2 s were over"):
            # What it started holds its output open, and is ended, too.
            self.bench.run(["sh", "-c", "sleep 60 & sleep 60"], "late", timeout=0.2)
        with self.assertRaisesRegex(harness.CannotRun, "failed to start /nowhere"):
            self.bench.run(["/nowhere"], "absent")

    def test_contenders_take_turns_and_who_begins_changes(self):
        order = []
        with contextlib.redirect_stdout(None):
            given = self.bench.alternate(ours=lambda: order.append("o") or 1, peer=lambda: order.append("p") or 2)
        self.assertEqual("".join(order), "oppoop")
        self.assertEqual(given, {"ours": [1, 1, 1], "peer": [2, 2, 2]})


class Machine(unittest.TestCase):
    def test_it_says_what_the_machine_can_and_not_whose_it_is(self):
        found = harness.machine()
        self.assertEqual(sorted(found), ["cores", "cpu", "kernel", "memoryGiB"])
        self.assertGreater(found["memoryGiB"], 0)
        self.assertRegex(found["kernel"], r"^\d[\d.]*\d$")

    def test_busy_cores_are_counted(self):
        with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as spinner:
            try:
                busy = max(harness.busy_cores() for _ in range(4))
            finally:
                spinner.kill()
        self.assertGreater(busy, harness.QUIET_CORES)


if __name__ == "__main__":
    unittest.main(verbosity=1)
