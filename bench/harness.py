"""What every suite of the bench needs: timed runs, their statistics, the machine they ran on, one table, one result file.

I/O: starts the programs that a suite names, reads /proc, writes RESULTS/<suite>.json and the terminal.
Python's standard library only: what is measured are programs, and the first bench should not wait for a compiler.
"""

import contextlib
import dataclasses
import datetime
import hashlib
import importlib.util
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MET, MISSED, COULD_NOT_RUN = 0, 1, 2
RUNS = 5
# The machine is quiet when others use less than so many cores; timed over so many seconds before each run.
QUIET_CORES, LOOK_S = 0.25, 0.5
RED, GREEN, DIM, PLAIN = "\033[31m", "\033[32m", "\033[2m", "\033[0m"


class CannotRun(Exception):
    """Something that a suite needs is not there; the text says what to do."""


# --- figures ----------------------------------------------------------------------------------------------------------

def spread(values):
    """(least, median, greatest), or None when there is nothing."""
    return (min(values), statistics.median(values), max(values)) if values else None


def ratios(ours, theirs):
    """Ours over the peer's, run by run: two runs of one round had the same weather."""
    return [ours / theirs for ours, theirs in zip(ours, theirs) if theirs]


@dataclasses.dataclass(frozen=True)
class Goal:
    """A bound: of the median of our runs, or of the median of the ratios. At most so much, or at least."""

    bound: float
    of_ratio: bool = False
    at_least: bool = False
    as_good_as_peer: bool = False  # no worse than the peer's median, too
    better_than_peer: bool = False

    def met(self, row):
        judged = spread(row.ratios if self.of_ratio else row.ours)
        if judged is None:
            return False
        sign, median = -1 if self.at_least else 1, judged[1]
        theirs = spread(row.theirs)
        beaten = theirs is None or (sign * median < sign * theirs[1] if self.better_than_peer
                                    else sign * median <= sign * theirs[1])
        return sign * median <= sign * self.bound and (beaten or not (self.as_good_as_peer or self.better_than_peer))

    def text(self, unit):
        peer = ", better than the peer" if self.better_than_peer else ", no worse than the peer" if self.as_good_as_peer else ""
        return f"{'>=' if self.at_least else '<='} {figure(self.bound)}{'x' if self.of_ratio else ' ' + unit if unit else ''}{peer}"


@dataclasses.dataclass
class Row:
    """One line of the table."""

    what: str
    unit: str
    ours: list
    peer: str = ""  # name and version, or why there is none
    theirs: list = dataclasses.field(default_factory=list)
    goal: Goal | None = None
    note: str = ""  # what else there is to know; for a missed goal why, and what was tried
    loaded: bool = False  # others used the machine during some of the runs
    part: str = ""  # of the suite; where suites have parts
    interval: tuple | None = None  # (low, high) that holds 95 of 100 such measurements of ours, where it is a count's share
    n: int | None = None  # of how many

    @property
    def ratios(self):
        return ratios(self.ours, self.theirs)

    @property
    def ok(self):
        """None where there is no goal to meet."""
        return None if self.goal is None else self.goal.met(self)

    def document(self):
        def figures(values):
            least, median, greatest = spread(values) or (None, None, None)
            return {"runs": values, "min": least, "median": median, "max": greatest}

        goal = self.goal and {"least" if self.goal.at_least else "most": self.goal.bound,
                              "of": "ratio" if self.goal.of_ratio else "ours"}
        return {"what": self.what, "unit": self.unit, "ours": figures(self.ours), "peer": self.peer,
                "theirs": figures(self.theirs), "ratio": figures(self.ratios), "goal": goal, "ok": self.ok,
                "loaded": self.loaded, "note": self.note} | ({"part": self.part} if self.part else {}) | (
                    {"interval": self.interval, "n": self.n} if self.n is not None else {})


# --- the machine ------------------------------------------------------------------------------------------------------

def machine():
    """What a reader needs to judge a figure; nothing that names the machine or its owner."""
    model = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    memory = next(int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines()
                  if line.startswith("MemTotal"))
    return {"cores": len(os.sched_getaffinity(0)), "memoryGiB": round(memory / 2**20, 1),
            # Without what its builder added to the version.
            "kernel": re.match(r"[\d.]*\d", platform.release())[0], "cpu": model}


def busy_seconds():
    """Processor seconds used on the whole machine since it started, by anyone, or taken by its host."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def busy_cores():
    """How many cores are in use right now, while we do nothing."""
    before, began = busy_seconds(), time.monotonic()
    time.sleep(LOOK_S)
    return max(0.0, busy_seconds() - before) / (time.monotonic() - began)


def revision():
    """The commit that is measured, marked when the checkout differs from it; nothing outside a checkout."""
    def git(*arguments):
        return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)

    head = git("rev-parse", "HEAD")
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!bench/results").stdout.strip()
    return head.stdout.strip() + ("+changed" if changed else "") if head.returncode == 0 else None


# --- running ----------------------------------------------------------------------------------------------------------

@dataclasses.dataclass(frozen=True)
class Run:
    """One program that has ended well."""

    wall: float  # seconds
    cpu: float  # seconds, of it and of all it waited for
    memory: float  # MiB at its peak
    output: str
    loaded: bool = False
    ended: tuple = ()  # for each line of output, when it came, in seconds from the start


class Bench:
    """What a suite is given: runs programs, gathers rows."""

    def __init__(self, suite, runs, wait_quiet):
        self.suite, self.runs, self.wait_quiet = suite, runs, wait_quiet
        self.rows, self.weather, self.part = [], [], ""
        self.cache = cache()
        self.artefacts = Path(os.environ.get("SHOWRUNNER_ARTEFACTS") or self.cache / "artefacts")
        self.target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")

    def say(self, text):
        print(f"{self.suite}: {text}", flush=True)

    def row(self, *arguments, **named):
        self.rows.append(Row(*arguments, part=self.part, **named))

    def need(self, path, how):
        """A file without which nothing can be measured."""
        if not Path(path).exists():
            raise CannotRun(f"failed to find {path}: {how}")
        return path

    def quiet(self, label):
        """Waits a while for a quiet machine, if asked to; True when it is loaded all the same. Noted in the results."""
        deadline = time.monotonic() + self.wait_quiet
        while (busy := busy_cores()) >= QUIET_CORES and time.monotonic() < deadline:
            pass
        loaded = busy >= QUIET_CORES
        self.weather.append({"run": label, "loadavg": round(os.getloadavg()[0], 2), "busyCores": round(busy, 2),
                             "loaded": loaded} | ({"part": self.part} if self.part else {}))
        return loaded

    def run(self, command, label, timeout=600, env=None):
        """Runs a program to its end; one that fails is a bench that could not run, with its last lines."""
        loaded = self.quiet(label)
        # What makes this program a child of make is no business of the one that is measured.
        inherited = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "NAME")}
        began, lines, times = time.monotonic(), [], []
        try:
            child = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT, text=True, errors="replace", cwd=ROOT,
                                     env=inherited | (env or {}), start_new_session=True)
        except OSError as error:
            raise CannotRun(f"failed to start {command[0]}: {error}") from error
        with deadline(child, timeout):
            for line in child.stdout:
                lines.append(line.rstrip("\n"))
                times.append(time.monotonic() - began)
            _, status, used = os.wait4(child.pid, 0)
        wall = time.monotonic() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        child.stdout.close()
        if child.returncode != 0:
            tail = "\n  ".join(lines[-15:])
            late = f" (its {timeout} s were over)" if wall >= timeout else ""
            raise CannotRun(f"failed to run {' '.join(map(str, command))}: it ended with {child.returncode}{late}\n  {tail}")
        return Run(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, "\n".join(lines), loaded, tuple(times))

    def python(self, name):
        """A Python of its own with exactly the packages of peers/<name>.txt; made when it is not there."""
        return environment(ROOT / "bench/peers" / f"{name}.txt", self.say)

    def alternate(self, **contenders):
        """Runs each contender so many times, in turn, and who begins changes: {name: [what it gave, ...]}."""
        given = {name: [] for name in contenders}
        for nth in range(self.runs):
            self.say(f"run {nth + 1} of {self.runs}")
            for name in list(contenders)[:: 1 if nth % 2 == 0 else -1]:
                given[name].append(contenders[name]())
        return given


def cache():
    """The folder of what is fetched and made once."""
    return Path(os.environ.get("SHOWRUNNER_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "showrunner")


def environment(lock, say):
    """A Python of its own with exactly the packages of this file, each pinned by its digest; made when it is not there."""
    folder = cache() / "bench" / f"{lock.stem}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    python, complete = folder / "bin/python", folder / "complete"
    if not complete.exists():
        say(f"making the environment {lock.stem}, once")
        for command in ([sys.executable, "-m", "venv", "--clear", folder],
                        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
                         "--only-binary=:all:", "--require-hashes", "--requirement", lock]):
            made = subprocess.run(command, capture_output=True, text=True)
            if made.returncode != 0:
                raise CannotRun(f"failed to make the environment {lock.stem}; it wants Python 3.11, python3-venv and a package "
                                f"index:\n{made.stderr[-2000:]}")
        complete.touch()
    return python


@contextlib.contextmanager
def deadline(child, seconds):
    """Ends the child and all that it started when its time is over, or when we are interrupted."""
    def end():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)

    timer = threading.Timer(seconds, end)
    timer.start()
    try:
        yield
    except BaseException:
        end()
        child.wait()
        raise
    finally:
        timer.cancel()


# --- telling ----------------------------------------------------------------------------------------------------------

def figure(value):
    """Three digits that count."""
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def span(values, suffix=""):
    found = spread(values)
    if found is None:
        return "-"
    texts = [figure(value) for value in found]
    return (texts[0] if len(set(texts)) == 1 else "/".join(texts)) + suffix


def table(rows, colour):
    """The rows as text, one line each, then what is to be said about some of them."""
    verdict = {None: "-", True: "ok", False: "MISSED"}
    head = ("what", "ours (min/median/max)", "peer", "theirs", "ratio", "goal", "ok")
    lines = [head]
    for row in rows:
        unit = f" {row.unit}" if row.unit else ""
        ours = span(row.ours, unit) if row.ours else "not measured"
        if row.interval:
            ours += f" [{', '.join(map(figure, row.interval))}] n={row.n}"
        lines.append((row.what, ours, row.peer or "-", span(row.theirs, unit), span(row.ratios),
                      row.goal.text(row.unit) if row.goal else "-", verdict[row.ok] + (" (loaded)" if row.loaded else "")))
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    told = []
    for line, row in zip(lines, [None, *rows]):
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()
        shade = DIM if row is None else {None: "", True: GREEN, False: RED}[row.ok]
        told.append(f"{shade}{text}{PLAIN}" if colour and shade else text)
    for row in rows:
        if row.note or row.ok is False:
            told.append(f"  {row.what}: {row.note or 'why it is missed and what was tried is not written down in the suite yet'}")
    if any(row.loaded for row in rows):
        told.append("  (loaded): others used the machine during these runs; such a time says little. Processor seconds say more.")
    return "\n".join(told)


def load(path):
    """A suite is a file with one function, measure(bench), or with PARTS: several, by name."""
    spec = importlib.util.spec_from_file_location(f"suite_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def measure(suite, bench, only):
    """The whole suite, or those of its parts that are named."""
    if (parts := getattr(suite, "PARTS", None)) is None:
        if only:
            raise CannotRun(f"failed to run {', '.join(only)} only: this suite has no parts")
        return suite.measure(bench)
    if unknown := [name for name in only if name not in parts]:
        raise CannotRun(f"failed to run {', '.join(unknown)}: the parts are {', '.join(parts)}")
    for name in only or parts:
        bench.part = name
        parts[name](bench)


def keep_others(document, path, only):
    """Parts that were not measured now stand as they were measured last, each under its own commit, on this same machine."""
    old = json.loads(path.read_text()) if path.exists() else {}
    if old.get("machine") != document["machine"]:
        return document
    for each in (old, document):
        each["rows"] = [{"measured": each["measured"], "revision": each["revision"]} | entry for entry in each["rows"]]
    for list_ in ("rows", "weather"):
        document[list_] = [entry for entry in old[list_] if entry.get("part") not in only] + document[list_]
    document["ok"] = all(entry["ok"] is not False for entry in document["rows"])
    return document


def run_suite(path, results, runs, wait_quiet, only=()):
    """Measures one suite, prints its table, writes its result file: MET, MISSED or COULD_NOT_RUN."""
    bench, trouble = Bench(path.stem, runs, wait_quiet), None
    try:
        measure(load(path), bench, only)
        unmeasured = [row.what for row in bench.rows if row.goal and not row.ours]
        if unmeasured:
            trouble = f"failed to measure what has a goal: {', '.join(unmeasured)}"
        elif not bench.rows:
            trouble = "failed to measure anything: the suite gave no row"
    except CannotRun as error:
        trouble = str(error)
    except Exception:
        trouble = "failed by a fault of the suite itself:\n" + traceback.format_exc()
    if bench.rows:
        print(f"\n{path.stem}\n{table(bench.rows, sys.stdout.isatty())}\n", flush=True)
    if trouble:
        print(f"bench: {path.stem} could not run: {trouble}", file=sys.stderr, flush=True)
        return COULD_NOT_RUN
    met = all(row.ok is not False for row in bench.rows)
    document = {"suite": path.stem, "measured": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
                "revision": revision(), "machine": machine(), "ok": met, "rows": [row.document() for row in bench.rows],
                "weather": bench.weather}
    if only:
        document = keep_others(document, results / f"{path.stem}.json", only)
    results.mkdir(parents=True, exist_ok=True)
    scratch = results / f"{path.stem}.json.tmp"
    scratch.write_text(json.dumps(document, indent=1) + "\n")
    scratch.replace(results / f"{path.stem}.json")
    return MET if met else MISSED
