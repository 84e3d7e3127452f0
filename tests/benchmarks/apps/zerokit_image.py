"""The app under test: pictures in one line."""

import os

from zerokit import ZeroDiffusion

demo = ZeroDiffusion(os.environ["BENCHMARK_MODEL"], dtype=os.environ["BENCHMARK_DTYPE"])

if __name__ == "__main__":
    demo.launch()
