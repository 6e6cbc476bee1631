"""The command `chalkmark`: finds the verb, runs it, and turns what goes wrong into two lines and an exit code.

Exit codes: 0 fine, 1 a finding (a failed check, a regression), 2 wrong usage or failure, 130 interrupted.
"""

from __future__ import annotations

import difflib
import os
import sys
from importlib import import_module

import click

from chalkmark import __version__
from chalkmark.errors import ChalkmarkError

VERBS: dict[str, tuple[str, str]] = {
    "up": ("chalkmark.cli.up", "Receive spans, curate them and keep the tables, until stopped."),
    "import": ("chalkmark.cli.import_", "Read trace files into the tables."),
    "curate": ("chalkmark.cli.curate", "Make tables of everything that was received."),
    "maintain": ("chalkmark.cli.maintain", "Compact files, drop what is past its retention, remove orphans."),
    "sql": ("chalkmark.cli.sql", "Run one SQL query over the tables."),
    "tables": ("chalkmark.cli.tables", "List the tables, or describe one."),
    "report": ("chalkmark.cli.report", "List, describe and run reports."),
    "deps": ("chalkmark.cli.deps", "Who calls a service, and whom it calls, how often per call."),
    "doctor": ("chalkmark.cli.doctor", "Check what works on this machine, and say how to mend the rest."),
}
"""Verb -> module that holds its `command`, and the line about it: help for all must not import any."""


class LazyGroup(click.Group):
    """A group whose verbs are imported when they are run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = import_module(VERBS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in VERBS.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in VERBS and not name.startswith("-"):
            nearest = difflib.get_close_matches(name, VERBS, n=1)
            hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
            raise click.UsageError(f"There is no command {name!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="chalkmark", message="%(prog)s %(version)s")
def command() -> None:
    """Traces in, SQL-ready tables and answers out.

    \b
    Examples:
      chalkmark up                               receive spans on the OpenTelemetry and Zipkin ports
      chalkmark import traces/                   or read them from files
      chalkmark deps checkout                    who calls checkout, and whom it calls
      chalkmark sql "select * from traces limit 10"

    Settings come from flags, CHALKMARK_* variables, chalkmark.toml, in this order.
    """


def main() -> None:
    """Entry point of the installed command; never returns."""
    sys.exit(run(sys.argv[1:]))


def run(args: list[str]) -> int:
    """Run the command line `args`, show errors on stderr, and return the exit code."""
    if "_CHALKMARK_COMPLETE" in os.environ:  # the shell asks for completions
        command.main(args, prog_name="chalkmark")
    try:
        with command.make_context("chalkmark", args) as context:
            code = command.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as error:  # --help, --version
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
        return 2
    except click.ClickException as error:
        error.show()
        return 2
    except ChalkmarkError as error:
        print(f"chalkmark: {error}", file=sys.stderr)
        if error.hint:
            print(f"  {error.hint}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, click.Abort):
        return 130
    except BrokenPipeError:
        # The reader (`| head`) has what it wanted. Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code if isinstance(code, int) else 0
