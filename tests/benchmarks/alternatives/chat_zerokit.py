"""The same with ZeroKit."""

import os

from zerokit import ZeroChat

demo = ZeroChat(os.environ["BENCHMARK_MODEL"], dtype="float32", max_new_tokens=64)

if __name__ == "__main__":
    demo.launch()
