import io
import re

from rich.console import Console

from compressibility.measuring.progress import Step, reading, shown
from compressibility.networks.training import Progress


def test_in_a_log_every_job_and_every_epoch_is_one_line(capsys) -> None:
    with shown("digits") as report:
        report(Step(0, 2, ()))
        report(Step(0, 2, ("seed 0 · training",)))
        report(Step(0, 2, ("seed 0 · training",), Progress(1, 2, 0.5)))
        report(Step(0, 2, ("seed 0 · training",), Progress(2, 2, 0.25)))
        report(Step(1, 2, ()))
        report(Step(1, 2, ("seed 0 · conv · truncation",)))
        report(Step(2, 2, ()))
    lines = [line.partition(" ")[2] for line in capsys.readouterr().err.splitlines()]
    assert lines == [
        "digits · seed 0 · training · 0/2 done",
        "digits · seed 0 · training · 0/2 done · 1/2 epochs · training loss 0.500",
        "digits · seed 0 · training · 0/2 done · 2/2 epochs · training loss 0.250",
        "digits · seed 0 · conv · truncation · 1/2 done",
        "digits · 2/2 done",
    ]


def test_in_a_terminal_one_bar_counts_the_jobs_and_one_the_epochs() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    counts = []
    with shown("digits", console) as report:
        for step in (
            Step(0, 2, ("seed 0 · training",), Progress(1, 4, 0.5)),
            Step(0, 2, ("seed 0 · training",), Progress(3, 4, 0.25)),
            Step(1, 2, ("seed 0 · conv · truncation",)),
            Step(2, 2, ()),
        ):
            before = len(screen.getvalue())
            report(step)
            told = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", screen.getvalue()[before:])
            counts.append(set(re.findall(r"\b\d/\d\b", told)))
    assert [max(each) for each in counts] == ["1/4", "3/4", "1/2", "2/2"]
    assert counts[1] >= {"0/2", "3/4"}


def test_a_note_is_told_as_it_is_in_a_log_and_above_the_bars(capsys) -> None:
    note = "pets: left 1 no image (cat/[notes].txt)"
    screen = io.StringIO()
    for console in (None, Console(file=screen, force_terminal=True, width=20)):
        with shown("pets", console) as report:
            report(Step(0, 0, (), note=note))
    assert capsys.readouterr().err == f"{note}\n"
    assert note in screen.getvalue()
    assert "0/0" not in screen.getvalue()


def test_reading_is_told_at_most_once_in_the_seconds_given(monkeypatch) -> None:
    now = 0.0
    monkeypatch.setattr("compressibility.measuring.progress.time.monotonic", lambda: now)
    steps: list[Step] = []
    read = reading(steps.append, "reading", seconds=2)
    for done in range(1, 12):
        now = done * 0.5
        read(done, 20)
    assert steps == [Step(done, 20, ("reading",)) for done in (4, 8)]
