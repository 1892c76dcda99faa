"""The law on many drawn networks: python -m property_tests.many_networks --count 20000.

It goes on past failures, and says what was drawn, what became of it, and each kind of failure's
smallest network. ``--first S --count 1`` runs network S alone.
"""

import argparse
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import torch

from compressibility.errors import ForeignError, foreign
from property_tests.evaluation_law import BrokenError, Outcome, outcome
from property_tests.networks import Description, built, description

BETWEEN = 500
"""Networks between two lines of progress."""


def told(described: Description) -> Outcome:
    """What becomes of a network: as the law says, or ``broken`` and how."""
    try:
        with foreign(BrokenError), built(described) as drawn:
            return outcome(drawn)
    except BrokenError as error:
        return Outcome("broken", str(error))
    except ForeignError as error:
        return Outcome("broken", f"crash: {_crash(error.__cause__ or error)}")


def _crash(error: BaseException) -> str:
    """What the engine let through, and in which module of its own."""
    called = [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
    inside = [path for path in called if path.parent.parent.name == "compressibility"]
    where = inside[-1].name if inside else "what is drawn"
    first = str(error).partition("\n")[0]
    return f"{type(error).__name__} in {where}: {first}"


def smallest(described: Description, found: Outcome) -> tuple[Description, Outcome]:
    """A network that fails in the same way and cannot be made simpler without ceasing to."""
    for simpler in described.simpler:
        again = told(simpler)
        if again.way == "broken" and again.kind == found.kind:
            return smallest(simpler, again)
    return described, found


@dataclass
class Failure:
    """Networks that fail alike: how many, the number of the first, and its smallest."""

    first: int
    smallest: Description
    how: str
    count: int = 1

    def __str__(self) -> str:
        return f"{self.count} times, first network {self.first}: {self.how}\n    {self.smallest}"


def names(described: Description) -> Iterator[str]:
    """The kinds that a network is counted under."""
    yield from {f"piece: {name}" for name, _ in described.pieces}
    yield f"stem: {described.stem}"
    yield f"head: {described.head}"
    yield f"oddity: {described.oddity or 'none'}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=20_000, help="networks to draw")
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    ways: dict[str, Counter[str]] = {}
    refusals: Counter[str] = Counter()
    failures: dict[tuple[str, ...], Failure] = {}
    start = time.perf_counter()
    for done, number in enumerate(range(arguments.first, arguments.first + arguments.count), 1):
        described = description(Random(number))
        found = told(described)
        for name in ("all", *names(described)):
            ways.setdefault(name, Counter())[found.way] += 1
        if found.way == "refused":
            refusals[f"{described.oddity}: {found.reason}"] += 1
        if found.way == "broken":
            small, cause = smallest(described, found)
            alike = (found.kind, small.oddity, *(name for name, _ in small.pieces))
            if alike not in failures:
                failures[alike] = Failure(number, small, cause.reason)
                print(failures[alike], flush=True)
            else:
                failures[alike].count += 1
        if done % BETWEEN == 0:
            each = (time.perf_counter() - start) / done
            print(f"{done} networks, {1000 * each:.0f} ms each", file=sys.stderr, flush=True)
    columns = ("fast", "whole", "refused", "broken")
    print("", "".join(f"{title:>9}" for title in ("drawn", *columns)), sep="\n")
    for name, counts in sorted(ways.items()):
        numbers = (counts.total(), *(counts[way] for way in columns))
        print("".join(f"{count:9}" for count in numbers), name)
    print("\nrefused, by what was planted and the word that names it")
    for reason, count in sorted(refusals.items()):
        print(f"{count:9} {reason}")
    print(f"\n{ways.get('all', Counter())['broken']} networks broke the law")
    for failure in sorted(failures.values(), key=lambda f: -f.count):
        print(failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
