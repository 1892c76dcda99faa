from compressibility.measuring.progress import Step, shown
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
