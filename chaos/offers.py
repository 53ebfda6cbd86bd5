"""The models that drills ask: how each answers is said in the simulator's own grammar."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chaos.faults import FAULTS

# A call of these costs exactly what it reserves: nothing for the prompt, and every token of the longest answer.
DIME_NANOUSD = 100_000_000
_DIME_TOKENS = 100


@dataclass(frozen=True, slots=True)
class Price:
    """In nano-dollars per million tokens."""

    input_nanousd_per_mtok: int = 150_000_000
    output_nanousd_per_mtok: int = 600_000_000

    def amount_nanousd(self, input_tokens: int, output_tokens: int) -> int:
        """What that usage costs, rounded up to a whole nano-dollar."""
        total = input_tokens * self.input_nanousd_per_mtok + output_tokens * self.output_nanousd_per_mtok
        return -(-total // 1_000_000)


_USUAL = Price()
_DIME = Price(0, DIME_NANOUSD * 1_000_000 // _DIME_TOKENS)


@dataclass(frozen=True, slots=True)
class Offer:
    """A model and its deployments at the simulator, first choice first."""

    slug: str
    deployments: tuple[str, ...]
    price: Price = _USUAL
    max_output_tokens: int | None = None


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
    # 0.25 s and 10 s, each at 0.10 dollars
    Offer("dime", (f"bench-dime+tokens={_DIME_TOKENS}+tps=400+ttft=20+chunk=10",), _DIME, _DIME_TOKENS),
    Offer("slow-dime", (f"bench-slow-dime+tokens={_DIME_TOKENS}+tps=10+ttft=20+chunk=5",), _DIME, _DIME_TOKENS),
    *(Offer(slug, deployments) for fault in FAULTS for slug, deployments in fault.slugs.items()),
)


_PRICES = {upstream: offer.price for offer in OFFERS for upstream in offer.deployments}


def amount_nanousd(call: Mapping[str, Any]) -> int:
    """What a call in the simulator's bill costs at the price of its offer."""
    return _PRICES.get(call["model"], _USUAL).amount_nanousd(call["prompt_tokens"], call["tokens_sent"])
