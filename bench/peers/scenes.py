"""The peers of the suite `titles`, part `shots`: PySceneDetect's detectors on files, with several settings of each at once.

usage: scenes.py FILE...   (standard input: {"name of a setting": ["content" | "adaptive" | "histogram", {its arguments}]})
Prints a line of JSON for each file: {"file": ..., "cuts": {"name of a setting": [frame, ...]}}.

Each file is decoded once. Frames are fed to the detectors as PySceneDetect's own SceneManager does it, shrunk by the same factor;
detectors that differ in thresholds only share the work of measuring a frame, which changes nothing of what they find.
"""

import json
import sys

import cv2
import scenedetect
from scenedetect import AdaptiveDetector, ContentDetector, HistogramDetector, open_video
from scenedetect.scene_manager import compute_downscale_factor

KINDS = {"content": ContentDetector, "adaptive": AdaptiveDetector, "histogram": HistogramDetector}


def cuts(path, settings):
    detectors = {name: KINDS[kind](**arguments) for name, (kind, arguments) in settings.items()}
    share("_calculate_frame_score", [d for d in detectors.values() if isinstance(d, ContentDetector)])
    share("calculate_histogram", [d for d in detectors.values() if isinstance(d, HistogramDetector)])
    video = open_video(path)
    factor = compute_downscale_factor(max(video.frame_size))
    found = {name: [] for name in detectors}
    while (frame := video.read()) is not False:
        if factor > 1:
            size = (max(1, round(frame.shape[1] / factor)), max(1, round(frame.shape[0] / factor)))
            frame = cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR)
        for name, detector in detectors.items():
            found[name] += detector.process_frame(video.position, frame)
    for name, detector in detectors.items():
        found[name] += detector.post_process(video.position)
    # A position counts the frames read so far: it is one more than the frame's number.
    first = video.base_timecode
    return {name: sorted({(at - first).frame_num for at in given}) for name, given in found.items()}


def share(method, detectors):
    """Lets the first detector measure each frame, and the others take what it measured."""
    if not detectors:
        return
    measure, last = getattr(detectors[0], method), {}

    def measured(*arguments, **named):
        last["value"] = measure(*arguments, **named)
        return last["value"]

    setattr(detectors[0], method, measured)
    for detector in detectors[1:]:
        setattr(detector, method, lambda *_, **__: last["value"])


def main():
    cv2.setNumThreads(1)
    settings = json.load(sys.stdin)
    print(json.dumps({"version": scenedetect.__version__}), flush=True)
    for path in sys.argv[1:]:
        print(json.dumps({"file": path, "cuts": cuts(path, settings)}), flush=True)


if __name__ == "__main__":
    main()
