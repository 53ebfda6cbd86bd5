"""The composition root: settings, paths and wiring. Nobody imports it."""
