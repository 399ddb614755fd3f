"""`whereby --install-completion`: completion for the shell, with all commands and options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from .exits import UsageError

if TYPE_CHECKING:
    from cyclopts import App


def register(whereby: App) -> None:
    """Add the command to the app, whose commands it will complete."""

    def install(*, shell: Literal["bash", "zsh", "fish", "powershell"] | None = None) -> None:
        """Install completion for a shell.

        It writes a script where the shell looks for such, and for bash and zsh
        a line into its start-up file.

        For example:

            whereby --install-completion
            whereby --install-completion --shell zsh

        Args:
            shell: The shell; the one that this runs in unless given.
        """
        from cyclopts.completion.detect import ShellDetectionError

        try:
            place = whereby.install_completion(shell=shell)
        except ShellDetectionError:
            raise UsageError("no shell is known to complete for: pass --shell bash, zsh, fish or powershell") from None
        print(f"Completion is in {place}. Start a new shell to have it.")

    whereby.command(install, name="--install-completion", help_flags=[], version_flags=[])
