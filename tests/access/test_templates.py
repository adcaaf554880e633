"""What every template keeps to, read as text. tests/js/templates.test.mjs has what the content policy forbids."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
PYTHON = sorted(path for package in ("console", "instances") for path in (ROOT / package).rglob("*.py"))


class Page(HTMLParser):
    """The elements of a template: (tag, attributes) in order, and for each form what is inside."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        # Marks of the template language stand in attributes and between them; the token is kept as an element.
        text = re.sub(r"{#.*?#}", "", text, flags=re.DOTALL)
        text = re.sub(r"{% csrf_token %}", "<csrf-token>", text)
        self.feed(re.sub(r"{%.*?%}|{{.*?}}", "", text, flags=re.DOTALL))

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        self.elements.append((f"/{tag}", {}))


def every(wanted, **attributes):
    """Each element of a tag in all templates, with the elements up to its end."""
    for path in TEMPLATES:
        elements = Page(path.read_text()).elements
        for at, (tag, given) in enumerate(elements):
            if tag == wanted and attributes.items() <= given.items():
                rest = [name for name, _ in elements[at:]]
                end = rest.index(f"/{wanted}") if f"/{wanted}" in rest else 1
                yield path.relative_to(ROOT), given, rest[:end]


def test_every_form_that_posts_has_the_token():
    forms = list(every("form"))
    posting = [form for form in forms if form[1].get("method", "get").lower() == "post"]
    assert len(posting) > 20
    assert [(str(path), given) for path, given, inside in posting if "csrf-token" not in inside] == []


def test_no_form_that_asks_gives_the_token_away():
    """In an address it would be in logs and in the history."""
    asking = [form for form in every("form") if form[1].get("method", "get").lower() == "get"]
    assert asking
    assert [(str(path), given) for path, given, inside in asking if "csrf-token" in inside] == []


def test_no_form_leads_to_another_site():
    assert [given for _, given, _ in every("form") if re.match(r"\w+:|//", given.get("action", ""))] == []


def test_every_image_says_what_it_shows():
    images = list(every("img"))
    assert images
    assert [(str(path), given) for path, given, _ in images if "alt" not in given] == []


def test_a_link_to_a_new_window_gives_it_no_way_back():
    opening = [(str(path), given) for path, given, _ in every("a", target="_blank")]
    assert [link for link in opening if "noopener" not in link[1].get("rel", "")] == []


@pytest.mark.parametrize("pattern", [r"\|\s*safe\b", r"\|\s*safeseq\b", r"{%\s*autoescape\b", r"{%\s*debug\b"])
def test_nothing_goes_into_a_page_unescaped(pattern):
    assert [str(path) for path in TEMPLATES if re.search(pattern, path.read_text())] == []


@pytest.mark.parametrize(
    "pattern", [r"\bmark_safe\b", r"\bSafeString\((?!\"\"\))", r"\bcsrf_exempt\b", r"format_html\(\s*f[\"']"]
)
def test_no_code_goes_around_escaping_or_tokens(pattern):
    assert [str(path) for path in PYTHON if re.search(pattern, path.read_text())] == []
