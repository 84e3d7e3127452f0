"""The same with ZeroKit."""

import os

from zerokit import ZeroDiffusion

demo = ZeroDiffusion(os.environ["BENCHMARK_MODEL"], dtype="float32", steps=20)

if __name__ == "__main__":
    demo.launch()
