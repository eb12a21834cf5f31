"""Times the example `trees` beside XGBoost, LightGBM and TL2cgen: the same models, the same rows, in turn, on one thread.

`beside.py PROGRAM FOLDER [ROUNDS]` trains the models in FOLDER when they are not there, and prints a line for each figure: ours and the
peer's in nanoseconds per row, and how many times as long the peer takes, as least/median/greatest over the rounds. PROGRAM is
`target/release/examples/trees`. Wants numpy==2.3.5 scipy==1.18.1 xgboost==3.4.1 lightgbm==4.6.0 treelite==4.8.1 tl2cgen==1.0.0 and gcc.
Calls of one row are Python's, as those servers make them; calls of many rows are the libraries' own time but for one call.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import lightgbm
import numpy as np
import tl2cgen
import treelite
import xgboost

FEATURES, ASKED, ONE_BY_ONE, EXPLAINED = 24, 2000, 200, 256


def train(folder):
    draw = np.random.default_rng(5)
    x = draw.normal(0, 1, (20000, FEATURES)).astype(np.float32)
    x[draw.random(x.shape) < 0.03] = np.nan
    z = np.nan_to_num(x)
    signal = z[:, 0] * z[:, 1] + np.sin(z[:, 2] * 2) + z[:, 3] * (z[:, 4] > 0) + (z[:, 5:15] ** 2).sum(1) * 0.1
    y = (signal + draw.normal(0, 0.7, len(x)) > 1).astype(float)
    x[:ASKED].tofile(folder / "rows.f32")
    parameters = {"objective": "binary:logistic", "max_depth": 6, "eta": 0.1, "base_score": 0.4}
    xgboost.train(parameters, xgboost.DMatrix(x, y), 300).save_model(folder / "x300.ubj")
    parameters = {"objective": "binary", "num_leaves": 31, "learning_rate": 0.1, "verbosity": -1}
    lightgbm.train(parameters, lightgbm.Dataset(x, y), 300).save_model(folder / "l300.txt")
    compiled = treelite.frontend.load_xgboost_model(folder / "x300.ubj")
    tl2cgen.export_lib(compiled, toolchain="gcc", libpath=folder / "x300.so", params={"parallel_comp": 8})


def per_row(call, rows):
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1e9 / rows


def peers(folder, rows):
    """What is measured, our command and figure for it, and the peer's way."""
    singles = [rows[n:n + 1] for n in range(ONE_BY_ONE)]
    booster = xgboost.Booster(model_file=folder / "x300.ubj")
    booster.set_param({"nthread": 1})
    matrix = xgboost.DMatrix(rows[:EXPLAINED], nthread=1)
    light = lightgbm.Booster(model_file=folder / "l300.txt")
    compiled, wide = tl2cgen.Predictor(folder / "x300.so", nthread=1), tl2cgen.DMatrix(rows)
    narrow = [tl2cgen.DMatrix(row) for row in singles]
    doubles, one = rows.astype(np.float64), {"num_threads": 1}
    return {
        "XGBoost, one row": ("predict", "x300.ubj", "one_ns", ONE_BY_ONE, lambda: [booster.inplace_predict(row) for row in singles]),
        "XGBoost, many": ("predict", "x300.ubj", "many_ns", ASKED, lambda: booster.inplace_predict(rows)),
        "XGBoost, explained": ("explain", "x300.ubj", "many_ns", EXPLAINED, lambda: booster.predict(matrix, pred_contribs=True)),
        "TL2cgen, one row": ("predict", "x300.ubj", "one_ns", ONE_BY_ONE, lambda: [compiled.predict(row) for row in narrow]),
        "TL2cgen, many": ("predict", "x300.ubj", "many_ns", ASKED, lambda: compiled.predict(wide)),
        "LightGBM, one row": ("predict", "l300.txt", "one_ns", ONE_BY_ONE, lambda: [light.predict(row, **one) for row in singles]),
        "LightGBM, many": ("predict", "l300.txt", "many_ns", ASKED, lambda: light.predict(doubles, **one)),
        "LightGBM, explained": ("explain", "l300.txt", "many_ns", EXPLAINED,
                                lambda: light.predict(doubles[:EXPLAINED], pred_contrib=True, **one)),
    }


def main():
    program, folder, rounds = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 5
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "x300.so").exists():
        train(folder)
    rows = np.fromfile(folder / "rows.f32", np.float32).reshape(-1, FEATURES)
    measured = peers(folder, rows)
    figures = {what: ([], []) for what in measured}
    for n in range(rounds):
        for what in list(measured)[:: 1 if n % 2 else -1]:
            command, model, figure, count, call = measured[what]
            told = subprocess.run([program, command, folder / model, folder / "rows.f32"], check=True, capture_output=True)
            figures[what][0].append(json.loads(told.stdout)[figure])
            figures[what][1].append(per_row(call, count))
    for what, (ours, theirs) in figures.items():
        ratios = sorted(theirs / ours for ours, theirs in zip(ours, theirs))
        spread = "/".join(f"{ratio:.1f}" for ratio in (ratios[0], ratios[len(ratios) // 2], ratios[-1]))
        print(f"{what}: ours {np.median(ours):.0f} ns, theirs {np.median(theirs):.0f} ns, {spread} times")


if __name__ == "__main__":
    main()
