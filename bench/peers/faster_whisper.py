"""The peer of the suite `speech`: faster-whisper on one file, told as one line of JSON.

usage: python faster_whisper.py MODEL FILE BEAM THREADS [LANGUAGE]    (in the environment of faster-whisper.txt)
I/O: reads the model's folder and the file. Its time counts from after the imports: Python's own start is not the peer's.
"""

import importlib.metadata
import json
import resource
import sys
import time


def main():
    model, file, beam, threads = sys.argv[1:5]
    language = (sys.argv[5:] or [None])[0]
    # Named like the package it measures, this file's folder must not be looked into first.
    sys.path.pop(0)
    from faster_whisper import WhisperModel

    def processor():
        used = resource.getrusage(resource.RUSAGE_SELF)
        return used.ru_utime + used.ru_stime

    began, began_cpu = time.monotonic(), processor()
    loaded = WhisperModel(model, device="cpu", compute_type="int8", cpu_threads=int(threads))
    # Times of words, as cues are made of them; the voice detector on, as it is the peer's best setting.
    segments, info = loaded.transcribe(file, beam_size=int(beam), language=language, vad_filter=True, word_timestamps=True)
    words = [word.word for segment in segments for word in segment.words]
    print(json.dumps({
        "text": "".join(words), "language": info.language, "wall": time.monotonic() - began, "cpu": processor() - began_cpu,
        "version": importlib.metadata.version("faster-whisper"), "engine": importlib.metadata.version("ctranslate2")}))


if __name__ == "__main__":
    main()
