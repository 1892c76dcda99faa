"""Two networks on the same images: how many more one has right, and what to expect on others."""

from dataclasses import dataclass
from statistics import NormalDist


@dataclass(frozen=True)
class Judgement:
    """The answers of a network against those of another, on the same images.

    Attributes:
        n_images: How many.
        n_correct: Images that the network has right.
        n_lost: Images that the other one alone has right.
        n_gained: Images that it alone has right.
    """

    n_images: int
    n_correct: int
    n_lost: int
    n_gained: int

    @property
    def accuracy(self) -> float:
        """Share of the images that it has right."""
        return self.n_correct / self.n_images

    @property
    def points_lost(self) -> float:
        """Points of accuracy that it has less than the other, of 100."""
        return 100 * (self.n_lost - self.n_gained) / self.n_images

    def points_lost_on_others(self, n_images: int, level: float = 0.9) -> tuple[float, float]:
        """Points that it will lose on other images of the same kind: a prediction interval.

        Both samples vary: these images and those. Half an image is added to each kind.

        Args:
            n_images: How many the others are.
            level: How often the interval holds what is found, about.

        Source: Agresti and Min, Stat. Med. 24 (2005) 729 (the interval for one sample's
        difference of paired proportions); widened by the variance of the other sample.

        Examples:
            >>> judgement = Judgement(n_images=1000, n_correct=880, n_lost=30, n_gained=10)
            >>> judgement.points_lost
            2.0
            >>> low, high = judgement.points_lost_on_others(10_000)
            >>> round(low, 2), round(high, 2)
            (0.9, 3.09)
        """
        n = self.n_images + 2
        lost, gained = (self.n_lost + 0.5) / n, (self.n_gained + 0.5) / n
        change = lost - gained
        variance = lost + gained - change**2
        half = NormalDist().inv_cdf((1 + level) / 2) * (variance / n + variance / n_images) ** 0.5
        return 100 * (change - half), 100 * (change + half)
