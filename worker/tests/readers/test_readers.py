#!/usr/bin/env python3
"""Other people's readers find the very cues and chapters in our files that were written: ttconv, and a browser.

I/O: runs the example `tracks` of the worker (built before) on cues.json, and Debian's chromium-headless-shell without a network;
makes a Python environment with the packages of ttconv.txt, once.
"""

import base64
import io
import json
import logging
import os
import pathlib
import re
import site
import subprocess
import sys
import tempfile
import unittest
import urllib.parse
import xml.etree.ElementTree

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(ROOT / "bench"))
import harness  # noqa: E402  it stands in another folder

site.addsitedir(str(next(harness.environment(HERE / "ttconv.txt", print).parents[1].glob("lib/python*/site-packages"))))
import ttconv.imsc.reader  # noqa: E402  it came with the line above
import ttconv.isd  # noqa: E402
import ttconv.model  # noqa: E402
import ttconv.vtt.reader  # noqa: E402

TRACKS = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "release/examples/tracks"
BROWSER_SECONDS = 120
WRITTEN = json.loads((HERE / "cues.json").read_text())
CUES = {language: [tuple(cue) for cue in cues] for language, cues in WRITTEN["cues"].items()}
CHAPTERS = [(start, end, [f"Chapter {nth}"])
            for nth, (start, end) in enumerate(zip(WRITTEN["chapters"], WRITTEN["chapters"][1:]), 1)]

# Each file is a track whose address holds it. A cue's text is taken after the browser has looked for tags in it: were some found,
# there would be elements. What was found is written percent-encoded, so that nothing in it is changed by how a document is dumped.
PAGE = """<!doctype html><meta charset="utf-8"><video></video><pre></pre><script>
const files = FILES, found = {};
const tell = (name, cues) => {
  found[name] = cues;
  if (Object.keys(found).length === Object.keys(files).length)
    document.querySelector("pre").textContent = encodeURIComponent(JSON.stringify(found));
};
const read = cue => {
  const text = cue.getCueAsHTML();
  return {start: cue.startTime, end: cue.endTime, text: text.textContent, elements: text.childElementCount};
};
for (const [name, {kind, address}] of Object.entries(files)) {
  const track = Object.assign(document.createElement("track"), {kind, src: address});
  track.onload = () => tell(name, Array.from(track.track.cues, read));
  track.onerror = () => tell(name, null);
  document.querySelector("video").append(track);
  track.track.mode = "hidden";
}
</script>"""


def milliseconds(seconds):
    return round(seconds * 1000)


def lines(element):
    """The lines of a paragraph as ttconv has it."""
    if isinstance(element, ttconv.model.Text):
        return element.get_text()
    if isinstance(element, ttconv.model.Br):
        return "\n"
    return "".join(map(lines, element))


def paragraphs(document):
    """The cues of a document: every paragraph of its divisions. One without a begin is there from the start."""
    return [(milliseconds(p.get_begin() or 0), milliseconds(p.get_end()), lines(p).split("\n"))
            for division in document.get_body() for p in division]


def shown(document):
    """What is on the screen, and from when on: ttconv's own answer, by its times, regions and spaces."""
    def text(at):
        return "".join(map(lines, at.iter_regions()))

    return [(milliseconds(time), text(at)) for time, at in ttconv.isd.ISD.generate_isd_sequence(document)]


def to_be_shown(cues):
    """The same, of cues in order that do not overlap."""
    changes = {}
    for start, end, text in cues:
        changes |= {start: "\n".join(text), end: ""}
    return sorted(({0: ""} | changes).items())


def in_the_browser(files):
    """Every file's cues as the browser's own reader finds them; None where it refuses the file."""
    def track(path):
        address = "data:text/vtt;base64," + base64.b64encode(path.read_bytes()).decode()
        return {"kind": "chapters" if path.stem == "chapters" else "subtitles", "address": address}

    with tempfile.TemporaryDirectory() as folder:
        page = pathlib.Path(folder) / "page.html"
        page.write_text(PAGE.replace("FILES", json.dumps({path.stem: track(path) for path in files})))
        # The time of the page stands still while something loads, and its end does not depend on the machine's speed. The browser's own
        # sandbox wants rights that root in a container may lack; all it reads is what we wrote.
        browser = subprocess.run(["unshare", "--map-root-user", "--net", "chromium-headless-shell", "--no-sandbox", "--disable-gpu",
                                  f"--user-data-dir={folder}/profile", "--virtual-time-budget=60000", "--dump-dom", page.as_uri()],
                                 capture_output=True, text=True, timeout=BROWSER_SECONDS)
    found = re.search("<pre>(.+)</pre>", browser.stdout)
    if not found:
        raise AssertionError(f"the browser has not read all files:\n{browser.stdout[-1000:]}\n{browser.stderr[-2000:]}")
    return json.loads(urllib.parse.unquote(found[1]))


class Readers(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        subprocess.run([TRACKS, HERE / "cues.json", cls.folder], check=True)

    def text(self, name):
        return (self.folder / name).read_text()

    def test_ttconv_reads_imsc_without_a_complaint(self):
        for language, cues in CUES.items():
            with self.subTest(language=language), self.assertNoLogs("ttconv", logging.WARNING):
                tree = xml.etree.ElementTree.ElementTree(xml.etree.ElementTree.fromstring(self.text(f"{language}.imsc1.xml")))
                document = ttconv.imsc.reader.to_model(tree)
                self.assertEqual(document.get_lang(), language)
                self.assertEqual(paragraphs(document), cues)
                self.assertEqual(shown(document), to_be_shown(cues))

    def test_ttconv_reads_webvtt_without_a_complaint(self):
        for language, cues in CUES.items():
            with self.subTest(language=language), self.assertNoLogs("ttconv", logging.WARNING):
                document = ttconv.vtt.reader.to_model(io.StringIO(self.text(f"{language}.vtt")))
                self.assertEqual(paragraphs(document), cues)

    def test_a_browser_reads_subtitles_and_chapters(self):
        found = in_the_browser(sorted(self.folder.glob("*.vtt")))
        self.assertEqual(sorted(found), sorted([*CUES, "chapters"]))
        for name, cues in (CUES | {"chapters": CHAPTERS}).items():
            with self.subTest(track=name):
                self.assertIsNotNone(found[name], "the browser has refused the file")
                self.assertEqual([(milliseconds(cue["start"]), milliseconds(cue["end"]), cue["text"].split("\n"))
                                  for cue in found[name]], cues)
                self.assertEqual([cue["text"] for cue in found[name] if cue["elements"]], [])


if __name__ == "__main__":
    unittest.main()
