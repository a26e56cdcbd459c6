# SPDX-License-Identifier: Apache-2.0
"""A failure of the library as an exception that carries its sentence.

Every one is a GptjtError, and also the exception of Python's own that says the same, so that code which knows only
those catches it."""

from __future__ import annotations


class GptjtError(Exception):
    """What all failures of gptjt have in common."""


class ArgumentError(GptjtError, ValueError):
    """An argument is not acceptable."""


class FileError(GptjtError, OSError):
    """The operating system refused: no such file, no permission, ..."""


class FormatError(GptjtError, ValueError):
    """A file is not what it claims to be."""


class OutOfMemoryError(GptjtError, MemoryError):
    """There is not enough memory."""


class LimitError(GptjtError, ValueError):
    """A stated limit is exceeded: a prompt longer than the window, ..."""


class UnsupportedError(GptjtError, NotImplementedError):
    """Well-formed, but not something gptjt does."""


class NumericError(GptjtError, ArithmeticError):
    """The model produced NaN or infinity."""


class CancelledError(GptjtError):
    """A callback asked to stop."""


class ClosedError(GptjtError, RuntimeError):
    """The object was closed, or belongs to the process that this one was forked from."""


# By enum gptjt_status.
BY_STATUS: dict[int, type[GptjtError]] = {
    1: ArgumentError,
    2: FileError,
    3: FormatError,
    4: OutOfMemoryError,
    5: LimitError,
    6: UnsupportedError,
    7: NumericError,
    8: CancelledError,
}
