"""Oracle: the operating system. Processes are interrupted, and their files limited in size."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from compressibility import interruption
from tests.taught import assert_taught

ROOT = Path(__file__).parents[1]


def _with_tests() -> dict[str, str]:
    """The environment of a process that imports the tests' small experiment."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


FULL_DISK = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, 4_000))
from compressibility import cli
from compressibility.experiments import named
from tests.small_experiment import SMALL
named.EXPERIMENTS = {"small": SMALL}
sys.argv = ["compressibility", "measure", "small", "--seeds", "0", "--workers", "1"]
cli.main()
"""


def test_a_disk_full_half_way_ends_in_one_line_and_leaves_nothing_half_written(cache) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FULL_DISK],
        capture_output=True,
        text=True,
        check=False,
        env=_with_tests(),
    )
    assert_taught((ended.returncode, ended.stdout, ended.stderr), "File too large")
    left = [path for path in cache.root.rglob("*") if path.is_file() and path.stat().st_size]
    assert [path for path in left if not path.name.endswith(".lock")] == []


INTERRUPTED = """
import sys
from compressibility import cli
from compressibility.experiments import named
from tests.small_experiment import SMALL
if __name__ == "__main__":
    named.EXPERIMENTS = {"small": SMALL}
    sys.argv = ["compressibility", "measure", "small", "--workers", "2"]
    cli.main()
"""


@pytest.fixture
def heeding_ctrl_c():
    """As in a terminal; a shell's background job ignores it, and so would what it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeding_ctrl_c")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminated"])
def test_an_interruption_ends_in_one_line_and_keeps_what_is_measured(cache, tmp_path, sent) -> None:
    script = tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED)
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=_with_tests(),
    )
    end = time.monotonic() + 120
    while not list(cache.root.glob("checkpoints/*/seed-*")) and time.monotonic() < end:
        time.sleep(0.05)
    os.killpg(process.pid, sent)
    _, told = process.communicate(timeout=60)
    assert process.returncode == interruption.INTERRUPTED
    assert "Traceback" not in told
    assert "leaked" not in told
    assert "stopping" in told
    assert told.splitlines()[-1].startswith("interrupted: what is measured is kept")
    assert list(cache.root.glob("checkpoints/*/seed-*"))


@pytest.mark.usefixtures("heeding_ctrl_c")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminated"])
def test_an_interruption_that_a_library_turns_into_an_error_stays_one(
    call, monkeypatch, sent
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        try:
            os.kill(os.getpid(), sent)
            time.sleep(10)
        except KeyboardInterrupt as error:
            raise ValueError("no checkpoint") from error

    monkeypatch.setattr("compressibility.measuring.sweep.measure", interrupted)
    before = signal.getsignal(sent)
    status, _, told = call("measure", "digits-vanilla", "--workers", "1")
    assert status == interruption.INTERRUPTED
    assert told.splitlines()[-1].startswith("interrupted: what is measured is kept")
    assert signal.getsignal(sent) is before
