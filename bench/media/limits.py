#!/usr/bin/env python3
"""Where fingerprints end: copies that are worse than those of copies.py, by picture or by sound alone, and how many are found.

usage: limits.py SOURCES FFMPEG OUT PRINTS   (as copies.py, whose split `tune` has to be there: its titles are what is looked for)
Prints a line for each kind: how many of how many are found.
"""

import json
import subprocess
import sys
from pathlib import Path

import copies

PICTURE = {
    "crop of 10 % at each side": "crop=iw*0.8:ih*0.8",
    "crop of 15 % at each side": "crop=iw*0.7:ih*0.7",
    "crop of 20 % at each side": "crop=iw*0.6:ih*0.6",
    "crop of 12 % at two sides and mirrored": "crop=iw*0.88:ih*0.88:0:0,hflip",
    "turned by 1 degree": "rotate=PI/180",
    "turned by 3 degrees": "rotate=3*PI/180",
    "turned by 6 degrees": "rotate=6*PI/180",
    "upside down": "vflip",
    "8 % faster": "setpts=PTS/1.08,fps=25",
    "16 % faster": "setpts=PTS/1.16,fps=25",
    "in the middle of another picture, at 60 %": "scale=iw*0.6:-2,pad=iw/0.6:ih/0.6:(ow-iw)/2:(oh-ih)/2:gray",
    "blurred": "gblur=sigma=6",
    "a quarter covered": "drawbox=0:0:iw/2:ih/2:blue:fill",
    "half covered": "drawbox=0:0:iw/2:ih:blue:fill",
    "inverted": "negate",
    "noise": "noise=alls=60:allf=t",
    "very dark": "eq=brightness=-0.45",
}
SOUND = {
    "8 % faster, pitch too": "aresample=44100,asetrate=47628,aresample=44100",
    "8 % faster, pitch kept": "atempo=1.08",
    "half a tone higher, same speed": "aresample=44100,asetrate=46722,aresample=44100,atempo=0.943874",
    "telephone": "highpass=300,lowpass=3400",
    "echo": "aecho=0.8:0.7:120|240:0.5|0.3",
    "noise as loud": None,  # made below
}
EXCERPTS = (3, 5, 8, 12)
SYNTHETIC = 3  # of the synthetic titles, and all pieces of the film


def main():
    sources, ffmpeg, out, prints = (Path(argument).resolve() for argument in sys.argv[1:5])
    maker = copies.Maker(sources, ffmpeg, prints, out, "tune")
    folder = out / "limits"
    folder.mkdir(exist_ok=True)
    titles = [piece[0] for piece in maker.pieces()] + [f"synthetic-{n}" for n in range(SYNTHETIC)]
    cases = {}
    for name in titles:
        file = maker.title(name)
        for kind, graph in PICTURE.items():
            cases.setdefault(kind, []).append((name, file, ["-vf", graph, "-an"], True))
        for kind, graph in SOUND.items():
            noise = "[0:a]volume=1[a];anoisesrc=a=0.1:c=pink:r=44100[n];[a][n]amix=duration=first:normalize=0"
            how = ["-filter_complex", noise] if graph is None else ["-af", graph]
            cases.setdefault(f"sound: {kind}", []).append((name, file, [*how, "-vn"], False))
        for length in EXCERPTS:
            cut = ["-ss", "17.3", "-t", str(length)]
            cases.setdefault(f"{length} s, picture", []).append((name, file, [*cut, "-an"], True))
            cases.setdefault(f"{length} s, sound", []).append((name, file, [*cut, "-vn"], False))
    for kind, several in cases.items():
        made = []
        for name, file, how, seen in several:
            query = folder / f"{kind.replace(' ', '_').replace('%', '')}-{name}.print"
            if not query.with_suffix(".query").exists():
                coded = query.with_suffix(".mkv")
                maker.run("-i", file, *how, *(("-c:v", "libx264", "-preset", "ultrafast", "-crf", "26") if seen else ("-c:a", "aac")), coded)
                maker.print_of(coded, query, video=seen, audio=not seen)
                coded.unlink()
            made.append((name, query))
        told = subprocess.run([prints, "compare", maker.out / "catalogue", *(query for _, query in made)], capture_output=True, text=True,
                              check=True).stdout.splitlines()
        right = sum(name in [match["title"] for match in json.loads(line)["ours"]] for (name, _), line in zip(made, told))
        print(f"{kind}: {right} of {len(made)}", flush=True)


if __name__ == "__main__":
    main()
