from zerokit import ZeroChat

with_settings = {"temperature": 0.3}
ZeroChat("Qwen/Qwen3-4B-Instruct-2507", **with_settings).launch()
