"""Compare decoding in float32 with oneDNN's convolutions and with torch's own choice, by turns.

usage: python benchmarks/convolution.py [--rounds 10] [--threads 2]

For CPUs without bfloat16 instructions, where the default model computes in float32. Both ways
answer the same two clicks in one process; printed are the medians, their ratio, and by how much the
logits differ.
"""

import argparse
import statistics
import time

import numpy as np
import torch

from napari_fastsam3d.model import load_model
from napari_fastsam3d.model.layers import convolution

POINTS = np.array([[60, 60, 60], [50, 66, 70]], np.float32)
LABELS = np.array([1, 0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    model = load_model("default", device="cpu", dtype="float32")
    image = torch.randn(1, 1, 128, 128, 128, generator=torch.Generator().manual_seed(0))
    encoded = model.encode(image)
    ways = {"oneDNN": convolution.convolve, "torch's choice": lambda conv, x: conv(x)}
    times: dict[str, list[float]] = {name: [] for name in ways}
    logits = {}
    for turn in range(given.rounds + 1):
        for name, way in ways.items():
            convolution.convolve = way
            begun = time.perf_counter()
            logits[name] = model.segment(encoded, POINTS, LABELS, None, None).mask_logits
            if turn:  # the first one of each prepares
                times[name].append(1000 * (time.perf_counter() - begun))
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        print(f"{name:<16} {median:6.0f} ms a decode")
    one, other = medians.values()
    apart = np.abs(np.subtract(*logits.values())).max()
    print(f"ratio {one / other:.2f}, logits differ by at most {apart:.1e}")


if __name__ == "__main__":
    main()
