"""What the local ZeroGPU sees of the processes that it ends."""

from __future__ import annotations

import subprocess
import sys
import time

from zerokit.emulator import processes

# The first thread ends, and with it the process as far as its state tells; another one goes on.
LINGERING = """
import ctypes, threading
threading.Thread(target=input).start()
print(flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""


def test_a_process_is_gone_when_its_last_thread_is():
    child = subprocess.Popen([sys.executable, "-c", LINGERING], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    give_up_at = time.monotonic() + 10
    while processes.alive(child.pid) and time.monotonic() < give_up_at:
        time.sleep(0.01)
    assert not processes.alive(child.pid)
    assert not processes.gone(child.pid)
    processes.kill(child.pid)
    while not processes.gone(child.pid) and time.monotonic() < give_up_at:
        time.sleep(0.01)
    assert processes.gone(child.pid)
    child.communicate()
    assert processes.gone(child.pid)
