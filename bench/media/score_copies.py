"""Counts which copies are found, by kind, and what is found that is none. Pure, but for `python score_copies.py TRUTH ANSWERS`, which
reads the two files and prints a table for those who tune.

An answer is a line of the engine's example `prints compare`. A copy is found when the title that it was made of is named. For ours
it also counts whether offset and speed are right, where they are known, and what it was called.
"""

import collections
import json
import sys

from score import wilson

# What a copy may be called. Several where it is a matter of taste: a chain with a foreign intro is another cut.
CALLED = {"exact": {"Exact", "ReEncode"}, "trim": {"AlternateCut"}, "intro": {"AlternateCut"}, "dub": {"Dub"}, "audio_only": {"AudioOnlyReuse"},
          "trailer": {"TrailerOf"}, "shared": {"SharedSegment(Intro)", "SharedSegment(Ident)"}}
NEAR = 1.5  # seconds by which an offset may be wrong


def classes(truth):
    if truth["kind"] != "chain":
        return CALLED.get(truth["kind"], {"ReEncode"})
    if "dub" in truth["steps"]:
        return {"Dub"}
    return {"AlternateCut"} if "intro" in truth["steps"] else {"ReEncode"}


def placed(truth, match):
    """Whether offset and speed are right; None where there is none to tell."""
    if truth["kind"] in ("trailer", "trim", "shared") or truth["kind"] == "chain" and "intro" in truth["steps"] and "speed" in truth["steps"]:
        return None
    speed, before = truth["speed"], truth["drawn"].get("intro", 0)
    # Seconds of the title to one of the copy; where the copy's first second of it lies.
    return abs(match["offset"] + speed * before) <= NEAR and abs(match["speed"] - speed) <= 0.01


class Found:
    def __init__(self):
        self.kinds = collections.defaultdict(lambda: {"n": 0, "ours": 0, "vpdq": 0, "chromaprint": 0, "either": 0, "seen": 0, "heard": 0, "called": 0, "placed": [],
                                                      "missed": [], "miscalled": []})
        self.false = {"ours": [], "vpdq": [], "chromaprint": []}
        self.queries = 0

    def add(self, truth, answer):
        self.queries += 1
        ours = {match["title"]: match for match in answer["ours"]}
        for name, titles in (("ours", set(ours)), ("vpdq", set(answer["vpdq"])), ("chromaprint", set(answer["chromaprint"]))):
            if wrong := sorted(titles - {truth["title"]}):
                self.false[name].append((truth["query"], wrong))
        if truth["title"] is None:
            return
        for key in ((truth["domain"], truth["kind"]), (truth["domain"], "all")):
            count = self.kinds[key]
            count["n"] += 1
            found = {"ours": truth["title"] in ours, "vpdq": truth["title"] in answer["vpdq"],
                     "chromaprint": truth["title"] in answer["chromaprint"]}
            for name, is_there in found.items():
                count[name] += is_there
            count["either"] += found["vpdq"] or found["chromaprint"]
            if not found["ours"]:
                count["missed"].append((truth["query"], truth["steps"], truth["drawn"]))
                continue
            match = ours[truth["title"]]
            sides = {segment["side"].split()[0] for segment in match["segments"]}
            count["seen"] += "picture" in sides
            count["heard"] += "sound" in sides
            right = match["class"] in classes(truth)
            count["called"] += right
            if not right:
                count["miscalled"].append((truth["query"], match["class"], truth["steps"], match["ofQuery"], match["ofOther"]))
            if (place := placed(truth, match)) is not None:
                count["placed"].append(place)


def read(truths, answers):
    found, by_query = Found(), {truth["query"]: truth for truth in truths}
    for line in answers:
        answer = json.loads(line)
        if answer["query"] in by_query:
            found.add(by_query[answer["query"]], answer)
    return found


def main():
    with open(sys.argv[1]) as truth, open(sys.argv[2]) as answers:
        found = read(json.load(truth), answers)
    print(f"{'':24}{'n':>5} {'ours':>6} {'vPDQ':>6} {'Chr.':>6} {'either':>6} {'seen':>6} {'heard':>6} {'called':>6} {'placed':>6}")
    for (domain, kind), count in sorted(found.kinds.items()):
        n, places = count["n"], count["placed"]
        shares = [100 * count[name] / n for name in ("ours", "vpdq", "chromaprint", "either", "seen", "heard", "called")]
        shares.append(100 * sum(places) / len(places) if places else float("nan"))
        print(f"{domain:10} {kind:12} {n:5} " + " ".join(f"{share:6.1f}" for share in shares))
        if kind != "all" and "-v" in sys.argv:
            for one in count["missed"]:
                print("      missed", *one)
            for one in count["miscalled"]:
                print("      called", *one)
    for name, wrong in found.false.items():
        low, high = wilson(len(wrong), found.queries)
        print(f"{name}: {len(wrong)} of {found.queries} queries with something false, {100 * low:.2f} to {100 * high:.2f} %")
        for one in wrong[:40 if "-v" in sys.argv and name == "ours" else 0]:
            print("     ", *one)


if __name__ == "__main__":
    main()
