"""The models that journeys ask, beside the demonstration's own: their names here, and how the simulator plays them.

Each has a voice of its own, because the simulator's text depends on the voice and the question alone. What has to be
met in mid-stream waits shortly before its end (`hold`) until the journey lets it go on: however slow the machine is,
it is still under way.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Played:
    """A model's name on the page, and its name at the simulator, which says how it behaves."""

    name: str
    upstream: str


MODELS: dict[str, Played] = {
    # At once.
    "brisk": Played("Brisk", "demo-swift+ttft=0+tps=0+tokens=40"),
    # Three to four seconds of quiet sentences.
    "brook": Played("Brook", "demo-swift+ttft=40+tps=30+tokens=110+hold=95"),
    "creek": Played("Creek", "demo-steady+ttft=80+tps=30+tokens=100+hold=85"),
    "delta": Played("Delta", "demo-quill+ttft=150+tps=30+tokens=105+hold=90"),
    # Six seconds: time for other windows to open.
    "river": Played("River", "demo-swift+ttft=40+tps=28+tokens=170+hold=155"),
    "canal": Played("Canal", "demo-steady+ttft=80+tps=28+tokens=160+hold=145"),
    # Until somebody stops them.
    "endless": Played("Endless", "demo-atlas+ttft=0+tps=30+tokens=4000"),
    "ongoing": Played("Ongoing", "demo-cedar+ttft=0+tps=30+tokens=4000+reasoning=0"),
    # Taller than a screen.
    "flood": Played("Flood", "demo-steady+ttft=0+tps=300+tokens=1500+hold=600"),
    # A program, in code frames.
    "coder": Played("Coder", "demo-harbor+ttft=0+tps=160"),
    # The same, slowly enough for a browser to draw every single token; it waits at its end.
    "scribe": Played("Scribe", "demo-harbor+ttft=0+tps=45+chunk=1+hold=9999"),
    # Refused by its provider, always or when a test says so.
    "refused": Played("Refused", "demo-quill+fault=401"),
    "stumbling": Played("Stumbling", "demo-harbor+ttft=0+tps=0+tokens=41"),
}
