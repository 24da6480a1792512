"""A clock that stands still until a test lets time pass."""


class Clock:
    """Gives seconds, as time.monotonic does."""

    def __init__(self) -> None:
        self._seconds = 1000.0

    def __call__(self) -> float:
        return self._seconds

    def wait(self, seconds: float) -> None:
        self._seconds += seconds
