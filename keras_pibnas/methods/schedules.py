"""Numbers that change during a search: functions of progress, finished epochs / epochs, in [0, 1]."""

import math
from dataclasses import dataclass

from keras import ops

from keras_pibnas.methods.part import Part, constant, registered


class Schedule(Part):
    """A number at each progress: subclasses define `value`.

    Example:
        >>> kp.methods.schedule(0.5).value(0.1)
        0.5
    """

    def value(self, progress):
        """The number at a progress in [0, 1]: a float for a float, a scalar tensor for a scalar tensor."""
        raise NotImplementedError(f"{type(self).__name__} must define value(progress)")


@registered
@dataclass(frozen=True)
class Constant(Schedule):
    """One number, always.

    Example:
        >>> kp.methods.Constant(0.5).value(0.9)
        0.5
    """

    constant: float

    def value(self, progress):
        return self.constant


@dataclass(frozen=True)
class _Ramp(Schedule):
    """From `first` until `begin` to `last` from `end` on. Raises ValueError unless 0 <= begin < end <= 1.

    Args: first, last: numbers; begin, end: progress.
    """

    first: float
    last: float
    begin: float = 0.0
    end: float = 1.0

    def __post_init__(self):
        if not 0 <= self.begin < self.end <= 1:
            raise ValueError(
                f"A schedule needs 0 <= begin < end <= 1. Received: begin={self.begin!r}, end={self.end!r}"
            )

    def fraction(self, progress):
        """The part of the ramp that is done, 0 to 1."""
        progress = float(progress) if isinstance(progress, int) else progress
        done = (progress - self.begin) / (self.end - self.begin)
        return min(max(done, 0.0), 1.0) if isinstance(done, float) else ops.clip(done, 0.0, 1.0)


@registered
@dataclass(frozen=True)
class Linear(_Ramp):
    """A straight line from `first` until `begin` to `last` from `end` on.

    Args: first, last: numbers; begin, end: progress.

    Example:
        >>> kp.methods.Linear(10.0, 1.0).value(0.5)
        5.5
    """

    def value(self, progress):
        return self.first + (self.last - self.first) * self.fraction(progress)


@registered
@dataclass(frozen=True)
class Cosine(_Ramp):
    """Half a cosine, slow at both ends, from `first` until `begin` to `last` from `end` on.

    Args: first, last: numbers; begin, end: progress.

    Example:
        >>> round(kp.methods.Cosine(1.0, 0.0).value(0.5), 4)
        0.5
    """

    def value(self, progress):
        angle = math.pi * self.fraction(progress)
        cosine = math.cos(angle) if isinstance(angle, float) else ops.cos(angle)
        return self.last + (self.first - self.last) * (1.0 + cosine) / 2.0


@registered
@dataclass(frozen=True)
class Exponential(_Ramp):
    """The same factor for each step, first * (last / first)**fraction, both above 0, from `begin` to `end`.

    Args: first, last: numbers; begin, end: progress.

    Example:
        >>> round(kp.methods.Exponential(1.0, 0.01).value(0.5), 4)
        0.1
    """

    def __post_init__(self):
        super().__post_init__()
        if not (self.first > 0 and self.last > 0):
            raise ValueError(
                f"An exponential schedule needs numbers above 0. Received: first={self.first!r}, last={self.last!r}"
            )

    def value(self, progress):
        exponent = math.log(self.last / self.first) * self.fraction(progress)
        return self.first * (math.exp(exponent) if isinstance(exponent, float) else ops.exp(exponent))


def schedule(value: float | Schedule) -> Schedule:
    """The schedule itself, or a plain number as a `Constant`.

    Raises:
        ValueError: neither.

    Example:
        >>> kp.methods.schedule(0.5)
        Constant(constant=0.5)
    """
    if isinstance(value, Schedule):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return Constant(float(value))
    raise ValueError(f"A schedule is a number, or Constant, Linear, Cosine or Exponential. Received: {value!r}")


def at(value: Schedule, progress, dtype: str):
    """The schedule's number at a progress, as a scalar tensor of that dtype."""
    progress = float(progress) if isinstance(progress, int | float) else ops.cast(progress, dtype)
    number = value.value(progress)
    return constant(number, dtype) if isinstance(number, float) else ops.cast(number, dtype)
