"""Answers as models write them: the usual mix of blocks, and the habits that trip parsers."""

RETRIES = r"""# Retry policy

Use **exponential backoff with full jitter**, six attempts. See [the notes](https://example.org/a?b=c&d=e "Notes")
and https://example.org/plain.

## The policy

- Retry on `429`, `5xx` and timeouts.
- Obey the partner:

  ```python
  def wait(attempt: int) -> float:
      '''Seconds.'''
      return random.uniform(0, 2**attempt)  # jitter
  ```

- Never drop it.
    1. park
    2. tell a person

Here's the code:
```js
const a = `x ${1}`;

// done
```
With base \(b\) and $n$ attempts costing $5 to $10:

\[
E[S_k] = \frac{1}{2} \sum_{n=0}^{k-1} \min(c, b \cdot 2^n)
\]

$$
\begin{aligned}
a &= b \\

c &= d
\end{aligned}
$$

| Attempt | Ceiling | Note |
|:--------|--------:|:----:|
| First   | 0.5 s   | `a\|b` |
| Second  | 1 s     | *x* |

> A quotation
continues lazily
> and ends.

1. one
1. two

   loose

Setext heading
--------------
***
Last paragraph, with a picture ![chart](https://evil.example/p.png?secret=1) 😀 and an end.
"""

LINKS = """[docs]: https://example.org/docs "The
docs"
[other]:
  https://example.org/other

See [docs] and [the other][other].

- item
  [inner]: https://example.org/inner
  'with a title'

Then [inner] again.
"""

UNFINISHED = "Look:\n\n- a\n- b\n\n```sql\nselect 1;\n\n-- still going"

WINDOWS = "# Title\r\n\r\nText\r\nmore\r\n\r\n```\r\ncode\r\n```\r\nend\r"

ALL = [RETRIES, LINKS, UNFINISHED, WINDOWS]
