"""The last gate: an allow-list over the finished HTML, whatever came before it."""

import nh3

from apps.markdown import mathml

_ELEMENTS = (
    "p h3 h4 h5 h6 blockquote ul ol li hr br strong em s code pre a span div "
    "figure figcaption button table thead tbody tr th td"
)
_ATTRIBUTES = {
    "*": {"class"},
    "a": {"href", "title"},
    "ol": {"start"},
    "figure": {"data-lang"},
    "button": {"aria-label", "data-copy"},
    "pre": {"tabindex", "aria-label"},
    "div": {"tabindex", "aria-label"},
    "span": {"aria-label"},
    **{element: set(mathml.ATTRIBUTES) for element in mathml.ELEMENTS},
}
_CLEANER = nh3.Cleaner(
    tags={*_ELEMENTS.split(), *mathml.ELEMENTS},
    attributes=_ATTRIBUTES,
    tag_attribute_values={
        "button": {"type": {"button"}},
        "div": {"role": {"group"}},
        "span": {"role": {"img"}},
        "th": {"scope": {"col"}},
    },
    set_tag_attribute_values={"a": {"target": "_blank"}},
    link_rel="noopener noreferrer nofollow",
    url_schemes={"http", "https", "mailto"},
    url_relative="deny",
    strip_comments=True,
)


def sanitize(html: str) -> str:
    """`html` reduced to the elements, attributes and addresses that an answer may have."""
    return _CLEANER.clean(html)
