import signal
from collections.abc import Set

from compressibility.measuring.workers import processes


def _blocked() -> Set[int]:
    return signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_processes_never_see_ctrl_c_and_this_one_still_does() -> None:
    with processes(2) as pool:
        masks = [pool.submit(_blocked).result() for _ in range(4)]
    assert all(signal.SIGINT in mask for mask in masks)
    assert signal.SIGINT not in _blocked()
