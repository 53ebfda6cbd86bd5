"""Cards about mathematics."""

from __future__ import annotations

from simulator.corpus.card import Card, Table

_HARMONIC = Card(
    cue=r"harmonic series|harmonic number|sum of reciprocals",
    title="The harmonic series diverges",
    gist="Group the terms in blocks that each add up to at least one half. There is always another "
    "block, so the sum passes "
    "every bound.",
    points=(
        (
            "By grouping",
            "the block from $2^{k}+1$ to $2^{k+1}$ has $2^k$ terms, none smaller than $2^{-(k+1)}$.",
        ),
        (
            "By an integral",
            "the sum lies above the area under $1/x$, which is a logarithm and grows for ever.",
        ),
        ("How slowly", "$H_n$ passes 10 only at $n = 12367$."),
    ),
    maths=(
        (
            "Group the terms, doubling the length of the groups:",
            r"1 + \frac12 + \underbrace{\frac13 + \frac14}_{\ge\, 1/2} + "
            r"\underbrace{\frac15 + \frac16 + \frac17 + \frac18}_{\ge\, 1/2} + \cdots",
        ),
        ("So after $2^m$ terms we already have", r"H_{2^m} \;\ge\; 1 + \frac{m}{2}."),
        (
            "The second way compares each term with the area below the curve:",
            r"H_n = \sum_{k=1}^{n} \frac1k \;\ge\; \sum_{k=1}^{n} \int_{k}^{k+1} \frac{dx}{x} = \ln(n+1).",
        ),
        ("Both right-hand sides are unbounded. In fact", r"H_n = \ln n + \gamma + O\!\left(\tfrac1n\right)."),
    ),
    code={
        "python": """
from math import log

total, n = 0.0, 0
for target in (2, 4, 6, 8, 10):
    while total <= target:
        n += 1
        total += 1 / n
    print(f"H_n passes {target:2d} at n = {n:6d}   ln(n) = {log(n):.3f}")
"""
    },
    pitfalls=(
        "Terms that go to zero do not make a series converge; this one is the standard witness.",
        "A computer seems to disagree: in floating point the sum stops growing once $1/n$ is too small to be added.",
    ),
    check="Put $m = 4$: sixteen terms add up to $3.38$, and the bound promises $3$.",
    verdict="It diverges, about as slowly as anything can.",
    link=("Harmonic series", "https://en.wikipedia.org/wiki/Harmonic_series_(mathematics)"),
)

_QUADRATIC = Card(
    cue=r"quadratic|x\^2|x²|second.degree",
    title="Solving a quadratic equation",
    gist="Complete the square once, in letters, and every quadratic is solved.",
    points=(
        ("The discriminant", "$b^2 - 4ac$ tells how many real solutions there are before you compute one."),
        ("Sum and product", "of the solutions are $-b/a$ and $c/a$: a quick check without a square root."),
    ),
    maths=(
        ("Start from the general form, with $a \\neq 0$:", r"ax^2 + bx + c = 0"),
        (
            "Divide by $a$ and complete the square:",
            r"\left(x + \frac{b}{2a}\right)^2 = \frac{b^2 - 4ac}{4a^2}",
        ),
        ("Take the root on both sides:", r"x_{1,2} = \frac{-b \pm \sqrt{b^2 - 4ac}}{2a}"),
    ),
    table=Table(
        ("$b^2 - 4ac$", "Real solutions", "The parabola"),
        (
            ("positive", "two", "crosses the axis"),
            ("zero", "one, double", "touches it"),
            ("negative", "none", "misses it"),
        ),
    ),
    code={
        "python": """
from cmath import sqrt


def solve(a, b, c):
    # Adding numbers of the same sign first avoids losing digits when b*b is much larger than 4*a*c.
    root = sqrt(b * b - 4 * a * c)
    q = -(b + (root if b >= 0 else -root)) / 2
    return (q / a, c / q) if q else (0.0, 0.0)


print(solve(1, -5, 6))
"""
    },
    pitfalls=("When $b^2$ is much larger than $4ac$, the textbook formula subtracts two nearly equal numbers.",),
    check="For $x^2 - 5x + 6$: the solutions 2 and 3 add up to 5 and multiply to 6.",
    verdict="Look at the discriminant first.",
)

_ROOT_TWO = Card(
    cue=r"(sqrt|square root|root of)\W*(of\s+)?(2|two)|irrational",
    title="The square root of two is irrational",
    gist="If it were a fraction in lowest terms, both its parts would be even, and then it was not in lowest terms.",
    points=(
        ("The assumption", "$\\sqrt2 = p/q$ with no common factor."),
        ("The first step", "$p^2 = 2q^2$ is even, hence $p$ is even."),
        ("The second step", "$q^2 = 2(p/2)^2$ is even too, hence $q$ is even."),
    ),
    maths=(
        (
            "Suppose $p$ and $q$ share no factor and",
            r"\sqrt2 = \frac{p}{q} \quad\Longrightarrow\quad p^2 = 2q^2.",
        ),
        ("So $p = 2r$ for some $r$, and", r"4r^2 = 2q^2 \quad\Longrightarrow\quad q^2 = 2r^2."),
        ("Both are even, which contradicts the choice:", r"\gcd(p, q) \ge 2."),
    ),
    pitfalls=("The step from $p^2$ even to $p$ even uses that the square of an odd number is odd. Say so.",),
    check="Try the same with 4: the first step fails, since $p^2 = 4q^2$ does not force anything new.",
    verdict="Two lines, and two and a half thousand years old.",
)

_GAUSS_INTEGRAL = Card(
    cue=r"gaussian|e\^\{?-x|bell curve|normal distribution|\bintegral\b|integrate",
    title="The Gaussian integral",
    gist="Square it, read the product as an integral over the plane, and change to polar coordinates, "
    "where it is easy.",
    points=(
        (
            "Why square",
            "the single integral has no elementary antiderivative; the double one has a symmetry.",
        ),
        ("Why polar", "the factor $r$ of the area element is just what the substitution needs."),
    ),
    maths=(
        ("Call the integral $I$ and square it:", r"I^2 = \iint_{\mathbb{R}^2} e^{-(x^2 + y^2)} \, dx \, dy"),
        (
            "In polar coordinates:",
            r"I^2 = \int_0^{2\pi} \int_0^{\infty} e^{-r^2} r \, dr \, d\varphi = 2\pi \cdot \frac12 = \pi",
        ),
        ("As $I$ is positive:", r"\int_{-\infty}^{\infty} e^{-x^2} \, dx = \sqrt{\pi}"),
    ),
    code={
        "python": """
from math import exp, pi, sqrt

steps, width = 4000, 12.0
h = width / steps
total = sum(exp(-((-width / 2 + i * h) ** 2)) for i in range(steps + 1)) * h
print(total, sqrt(pi))  # they agree to many digits
"""
    },
    pitfalls=(
        "Squaring needs that the integral exists at all; it does, as $e^{-x^2} \\le e^{-|x|}$ outside $[-1, 1]$.",
    ),
    check="$\\sqrt\\pi \\approx 1.77245$; a crude sum of rectangles gives the same digits.",
    verdict="A detour through the plane is the shortest way.",
)

_BAYES = Card(
    cue=r"bayes|false positive|probability|likel(y|ihood)|medical test",
    title="Bayes' rule, with a test that is right 99 times in 100",
    gist="A rare condition makes most positive results false, even with a good test.",
    points=(
        ("Base rate", "how common the condition is before anyone is tested."),
        ("Sensitivity", "how often the test finds it."),
        ("False alarms", "how often the test sees it where it is not."),
    ),
    maths=(
        (
            "The rule itself:",
            r"P(A \mid B) = \frac{P(B \mid A)\, P(A)}{P(B \mid A)\, P(A) + P(B \mid \neg A)\, P(\neg A)}",
        ),
        (
            "With one person in a thousand affected and a test that errs in one case of a hundred:",
            r"P = \frac{0.99 \cdot 0.001}{0.99 \cdot 0.001 + 0.01 \cdot 0.999} \approx 0.09",
        ),
    ),
    table=Table(
        ("Of 100,000 people", "positive", "negative", "sum"),
        (
            ("affected", "99", "1", "100"),
            ("not affected", "999", "98,901", "99,900"),
            ("sum", "1,098", "98,902", "100,000"),
        ),
    ),
    code={
        "python": """
def posterior(base_rate, sensitivity, false_alarm_rate):
    hit = sensitivity * base_rate
    return hit / (hit + false_alarm_rate * (1 - base_rate))


print(f"{posterior(0.001, 0.99, 0.01):.1%}")  # 9.0%
"""
    },
    pitfalls=("$P(A \\mid B)$ and $P(B \\mid A)$ are different questions; most mistakes swap them.",),
    check="Count people instead of probabilities: 99 true among 1,098 positive results.",
    verdict="Ask for the base rate before you believe the test.",
)

_SUMS = Card(
    cue=r"sum of (the )?(first|integers|numbers|squares)|geometric (series|sum)|induction|arithmetic "
    r"(series|sum)",
    title="Sums one should know by heart",
    gist="Write the sum forwards and backwards, or multiply it and subtract: both tricks make almost "
    "everything cancel.",
    points=(
        ("Arithmetic", "pair the first with the last; every pair has the same sum."),
        ("Geometric", "multiply by the ratio and subtract; only the ends survive."),
    ),
    maths=(
        ("Pairing gives", r"\sum_{k=1}^{n} k = \frac{n(n+1)}{2}"),
        ("Shifting gives, for $q \\neq 1$,", r"\sum_{k=0}^{n} q^k = \frac{1 - q^{n+1}}{1 - q}"),
        ("And induction confirms", r"\sum_{k=1}^{n} k^2 = \frac{n(n+1)(2n+1)}{6}"),
    ),
    code={
        "python": """
for n in (1, 10, 100):
    assert sum(range(n + 1)) == n * (n + 1) // 2
    assert sum(k * k for k in range(n + 1)) == n * (n + 1) * (2 * n + 1) // 6
"""
    },
    pitfalls=("The geometric formula divides by zero at $q = 1$, where the sum is simply $n + 1$.",),
    check="Put $n = 4$: $10$ for the first, $30$ for the squares.",
    verdict="Find what cancels.",
)

_DERIVATIVE = Card(
    cue=r"derivative|differentiat|product rule|chain rule|calculus",
    title="Derivatives from the definition",
    gist="A derivative is the limit of slopes. Three rules then spare you the limit for the rest of your life.",
    points=(
        ("Product", "$(fg)' = f'g + fg'$"),
        ("Chain", "$(f \\circ g)' = (f' \\circ g) \\cdot g'$"),
        ("Power", "$(x^n)' = n x^{n-1}$"),
    ),
    maths=(
        ("The definition:", r"f'(x) = \lim_{h \to 0} \frac{f(x+h) - f(x)}{h}"),
        ("For $f(x) = x^2$:", r"\frac{(x+h)^2 - x^2}{h} = 2x + h \;\longrightarrow\; 2x"),
        (
            "With the chain and product rules:",
            r"\frac{d}{dx}\left[ x \sin(x^2) \right] = \sin(x^2) + 2x^2 \cos(x^2)",
        ),
    ),
    code={
        "python": """
def derivative(f, x, h=1e-5):
    return (f(x + h) - f(x - h)) / (2 * h)  # the symmetric quotient errs only by h squared


print(derivative(lambda x: x * x, 3.0))
"""
    },
    pitfalls=("$h$ must not be too small on a computer: below about $10^{-8}$ rounding eats the digits.",),
    check="At $x = 3$ the slope of $x^2$ is $6$; so says the quotient.",
    verdict="Learn the three rules, remember where they come from.",
)

CARDS = (_HARMONIC, _ROOT_TWO, _QUADRATIC, _BAYES, _SUMS, _DERIVATIVE, _GAUSS_INTEGRAL)
