"""The three ways a command can fail, one exit code each.

Every message names what was found, where, what is accepted and what to try next; the
command line prints it as it is, without a traceback.
"""

from __future__ import annotations


class DoryError(Exception):
    """Base of all errors that are meant for the user; `exit_code` is the process's."""

    exit_code = 2

    def __init__(self, message: str, *, where: str = "", hint: str = "") -> None:
        """`where` is the file, node or option at fault; `hint` the next thing to try."""
        self.message = message
        self.where = where
        self.hint = hint
        super().__init__(str(self))

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}\n  try: {self.hint}" if self.hint else text


class CheckError(DoryError):
    """A verification failed: the generated code and the reference disagree, or the code misbehaved."""

    exit_code = 1


class UserError(DoryError):
    """The user's file or option is wrong or not supported."""

    exit_code = 2


class PlanError(DoryError):
    """The network is understood, but no plan fits the target's memories."""

    exit_code = 3
