"""How much is measured: the sizes of the issue that asked for the bench, times a scale."""

from dataclasses import dataclass

DEFAULT_SCALE = 0.2
READ_USERS = 100_000


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes and durations. At scale 1 they are those of the table; 0.2 takes about a quarter of an hour.

    Rates hardly depend on the sizes, which is itself one of the lines.
    """

    scale: float = DEFAULT_SCALE

    @property
    def rounds(self) -> int:
        """How often each side of a ratio is measured, in turns."""
        return 3 if self.scale >= DEFAULT_SCALE / 2 else 1

    @property
    def seconds(self) -> float:
        """How long one sample of a load takes."""
        return min(max(10 * self.scale, 0.5), 4.0)

    @property
    def users(self) -> int:
        """Users behind the lines that read and command; they are worth their whole size as soon as there is time."""
        return min(READ_USERS, self._sized(5 * READ_USERS))

    @property
    def backlog(self) -> int:
        """Users behind a projector's backlog; it has eleven events for each."""
        return self._sized(READ_USERS)

    @property
    def rebuilds(self) -> tuple[int, int]:
        """Users behind the small and the great rebuild."""
        return self._sized(READ_USERS), self._sized(5 * READ_USERS)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Users behind the curve of cost against size."""
        return tuple(self._sized(users) for users in (10_000, 100_000, 1_000_000))

    @property
    def rows(self) -> int:
        """Rows that a bulk sample inserts."""
        return self._sized(200_000, least=5_000)

    @property
    def operations(self) -> int:
        """Commands, and reads, after which memory is looked at for the last time."""
        return self._sized(1_000_000, least=4_000)

    @property
    def peer_users(self) -> int:
        """Users whose awards the event-sourcing library makes, projects and rebuilds."""
        return self._sized(5_000)

    def _sized(self, size: int, least: int = 200) -> int:
        return max(int(size * self.scale), least)
