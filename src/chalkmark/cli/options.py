"""Options that verbs share, so that each has one name, one help text and one meaning."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from chalkmark import config

FORMATS = ("table", "json", "jsonl", "csv", "markdown", "parquet", "arrow")
"""What `cli.output.render` writes."""

F = TypeVar("F", bound=Callable[..., Any])


def data_option(function: F) -> F:
    """`--data DIR`, handed to the function as `data: Path | None`."""
    return click.option(
        "--data",
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder of the tables; else CHALKMARK_DATA, chalkmark.toml, or the user's data folder.",
    )(function)


def output_options(function: F) -> F:
    """`--format` and `-o FILE`, handed to the function as `format: str` and `output: Path | None`."""
    function = click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Write to this file instead of stdout.",
    )(function)
    return click.option(
        "--format",
        "format",
        type=click.Choice(FORMATS),
        default="table",
        show_default=True,
        help="How to show the result; all but `table` are whole and exact.",
    )(function)


class ListingGroup(click.Group):
    """A group whose `list` may be left out: `chalkmark tables --format json` is `chalkmark tables list --format json`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


def settings(**flags: Any) -> config.Settings:
    """The settings in force, given the flags of this command line (None: not given)."""
    return config.load(flags)
