"""The same with ZeroKit."""

import os

from zerokit import ZeroLoRA

adapters = os.environ["BENCHMARK_ADAPTERS"].split(os.pathsep)
demo = ZeroLoRA(os.environ["BENCHMARK_MODEL"], adapters, dtype="float32", steps=20)

if __name__ == "__main__":
    demo.launch()
