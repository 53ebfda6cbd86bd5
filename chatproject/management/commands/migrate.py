from argparse import ArgumentParser

from django.core.management.commands.migrate import Command as Migrate


class Command(Migrate):
    """Django's `migrate`, run as the role that owns the tables unless told otherwise."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(database="owner")
