"""The peers of the suite `titles`, part `thumbnails`: how good others find each picture, without knowing what it was made of.

usage: distortions.py SOURCES FFMPEG SPLIT | quality.py   (standard input: PPM files, one after the other)
Prints a line of JSON for each picture: its comment, and what each peer gives, higher for better.

BRISQUE is the one of the package `brisque`, with the model that it comes with (trained on people's opinions of other pictures).
Its support vector regression is evaluated here, because the package asks for libsvm, which has no wheel; features and scaling are
the package's own. The variance of the Laplacian is what most tools take for sharpness.
"""

import json
import sys
import types

import cv2
import numpy


class Regression:
    """An epsilon-SVR with a radial kernel, from libsvm's text format."""

    def __init__(self, path):
        lines = iter(open(path).read().splitlines())
        head = {}
        for line in lines:
            if line == "SV":
                break
            name, *values = line.split()
            head[name] = values
        if head["svm_type"] != ["epsilon_svr"] or head["kernel_type"] != ["rbf"]:
            sys.exit(f"failed to read {path}: it is another kind of model")
        self.gamma, self.rho = float(head["gamma"][0]), float(head["rho"][0])
        rows = [line.split() for line in lines]
        self.weights = numpy.array([float(row[0]) for row in rows])
        self.vectors = numpy.zeros((len(rows), 36))
        for nth, row in enumerate(rows):
            for entry in row[1:]:
                index, value = entry.split(":")
                self.vectors[nth, int(index) - 1] = float(value)

    def predict(self, x):
        return float(self.weights @ numpy.exp(-self.gamma * ((self.vectors - x) ** 2).sum(1)) - self.rho)


def brisque():
    """(function of an RGB picture, version); lower is better."""
    svmutil = types.SimpleNamespace(svm_load_model=Regression)
    sys.modules["libsvm"] = types.ModuleType("libsvm")
    sys.modules["libsvm"].svmutil = svmutil
    import importlib.metadata

    from brisque import BRISQUE
    model = BRISQUE(url=False)

    def judged(features):
        # Some of the package's features are arrays of one, which its own conversion no longer takes.
        return model.model.predict(model.scale_features([float(numpy.ravel(feature)[0]) for feature in features]))

    model.calculate_image_quality_score = judged
    return model.score, importlib.metadata.version("brisque")


def pictures(stream):
    while (line := stream.readline()):
        if line != b"P6\n":
            sys.exit("failed to read a picture: it is no PPM file")
        about = None
        while (line := stream.readline()).startswith(b"# "):
            about = json.loads(line[2:])
        wide, high = map(int, line.split())
        stream.readline()
        yield about, numpy.frombuffer(stream.read(wide * high * 3), numpy.uint8).reshape(high, wide, 3)


def main():
    cv2.setNumThreads(1)
    score, version = brisque()
    print(json.dumps({"brisque": version, "opencv": cv2.__version__}), flush=True)
    for about, picture in pictures(sys.stdin.buffer):
        laplacian = cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var()
        print(json.dumps({"about": about, "BRISQUE": -score(picture), "Laplacian": laplacian}), flush=True)


if __name__ == "__main__":
    main()
