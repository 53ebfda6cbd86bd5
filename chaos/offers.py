"""The models that drills ask: how each answers is said in the simulator's own grammar."""

from dataclasses import dataclass

from chaos.faults import FAULTS

INPUT_NANOUSD_PER_MTOK = 150_000_000
OUTPUT_NANOUSD_PER_MTOK = 600_000_000


@dataclass(frozen=True, slots=True)
class Offer:
    """A model and its deployments at the simulator, first choice first."""

    slug: str
    deployments: tuple[str, ...]


# Paces are slow on purpose: what counts is how many answers are under way, not how many tokens flow.
OFFERS = (
    Offer("short", ("bench-short+tokens=24+tps=12+ttft=100+chunk=2",)),  # 2 s
    Offer("steady", ("bench-steady+tokens=120+tps=10+ttft=100+chunk=2",)),  # 12 s
    Offer("long", ("bench-long+tokens=220+tps=10+ttft=100+chunk=2",)),  # 22 s
    Offer("drained", ("bench-drained+tokens=64+tps=4+ttft=100+chunk=1",)),  # 16 s, within the drain
    Offer("outlasting", ("bench-outlasting+tokens=76+tps=2+ttft=100+chunk=1",)),  # 38 s, longer than the drain
    Offer("blocker", ("bench-blocker+tokens=600+tps=1+ttft=100+chunk=1",)),  # 600 s, to be cancelled
    Offer(
        "faltering",  # two deployments that die; after both, repeats with back-off
        (
            "bench-falter-a+tokens=60+tps=20+ttft=150+chunk=2+fault=die@8",
            "bench-falter-b+tokens=60+tps=20+ttft=150+chunk=2+fault=die@10",
        ),
    ),
    Offer(
        "rescued",  # dies, then is rescued by the second deployment
        (
            "bench-rescue-a+tokens=80+tps=20+ttft=150+chunk=2+fault=die@16",
            "bench-rescue-b+tokens=80+tps=20+ttft=150+chunk=2",
        ),
    ),
    Offer("paired", tuple(f"bench-{name}+tokens=24+tps=24+ttft=100+chunk=2" for name in ("primary", "second"))),
    Offer("trio", tuple(f"bench-trio-{letter}+tokens=24+tps=24+ttft=100+chunk=2" for letter in "abc")),
    *(Offer(slug, deployments) for fault in FAULTS for slug, deployments in fault.slugs.items()),
)


def amount_nanousd(input_tokens: int, output_tokens: int) -> int:
    """What that usage costs at the price of every offer, rounded up to a whole nano-dollar."""
    total = input_tokens * INPUT_NANOUSD_PER_MTOK + output_tokens * OUTPUT_NANOUSD_PER_MTOK
    return -(-total // 1_000_000)
