#!/usr/bin/env python3
"""Somebody else's reads of the API server: one object, many times a second; a line for each with when it began and how
long it took.

usage: reader.py KUBECONFIG OUT    I/O: GETs to the API server; appends to OUT. Ends when it is told to.
"""

import pathlib
import sys
import time

import api

EVERY_S = 0.02

if __name__ == "__main__":
    reads = api.Api(pathlib.Path(sys.argv[1]))
    with open(sys.argv[2], "a", buffering=1) as out:
        while True:
            began, clock = time.time(), time.monotonic()
            reads.must("GET", "/api/v1/namespaces/default")
            took = time.monotonic() - clock
            out.write(f"{began:.4f} {took:.5f}\n")
            time.sleep(max(0.0, EVERY_S - took))
