#!/usr/bin/env python
"""Django's command line for Switchboard. `manage.py dev` runs the whole product on this machine, with auto-reload."""

import os
import sys

if __name__ == "__main__":
    if sys.argv[1:2] == ["dev"]:
        # Before Django: it would ask for the addresses of servers that this command starts.
        os.execv(sys.executable, [sys.executable, "-m", "onebox", *sys.argv[1:]])  # noqa: S606
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatproject.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
