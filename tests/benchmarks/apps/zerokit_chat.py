"""The app under test: a chat in one line."""

import os

from zerokit import ZeroChat

demo = ZeroChat(os.environ["BENCHMARK_MODEL"], dtype=os.environ["BENCHMARK_DTYPE"])

if __name__ == "__main__":
    demo.launch()
