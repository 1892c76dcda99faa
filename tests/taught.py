"""How a user's mistake ends: one line that says what to do, and status 2."""


def assert_taught(answer: tuple[int, str, str], *words: str) -> None:
    status, out, err = answer
    lines = [line for line in err.splitlines() if line.strip()]
    assert status == 2
    assert out == ""
    assert "Traceback" not in err
    assert lines[-1].startswith("compressibility: ")
    for word in words:
        assert word in lines[-1]
