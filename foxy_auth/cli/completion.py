"""`foxy-auth completion`."""

from __future__ import annotations

import click

from foxy_auth.cli.command_help import epilog

PROGRAM, VARIABLE = "foxy-auth", "_FOXY_AUTH_COMPLETE"
SHELLS = ("bash", "zsh", "fish")
EXAMPLES = (
    "# bash, in ~/.bashrc",
    'eval "$(foxy-auth completion bash)"',
    "# zsh, in ~/.zshrc, after compinit",
    'eval "$(foxy-auth completion zsh)"',
    "# fish, once",
    "foxy-auth completion fish \\\n  > ~/.config/fish/completions/foxy-auth.fish",
)


@click.command(epilog=epilog(*EXAMPLES, also=()))
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """
    Print a script for completion in a shell.

    The shell then completes commands, options, profiles and environments.
    """
    from click.shell_completion import get_completion_class

    from foxy_auth.cli.commands import commands

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"click cannot complete in {shell}.")
    click.echo(kind(commands, {}, PROGRAM, VARIABLE).source())
