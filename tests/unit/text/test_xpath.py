"""The part of XPath that is understood: it selects what XPath selects, and the rest is refused by name."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virt2.text.xpath import Element, Path


def element(name: str, /, *children: Element | str, **attributes: str) -> Element:
    made = Element(name, attributes)
    made.children += children
    return made


NOVA = element(
    "instance",
    element("package", version="23.2.1"),
    element("name", "web-1"),
    element("flavor", element("memory", "2048"), element("disk", "20"), name="m1.small"),
    element("owner", element("user", "alice", uuid="u1"), element("project", "shop", uuid="p1")),
    element(
        "ports",
        element("port", element("ip", address="10.0.0.1", type="fixed"), uuid="a"),
        element("port", element("ip", address="10.0.0.2", type="fixed"), element("name", "second"), uuid="b"),
    ),
    element("", "of another namespace", name="other"),
)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/instance/name/text()", ["web-1"]),
        ("/instance/owner/project/@uuid", ["p1"]),
        (" / instance / owner / user / @ uuid ", ["u1"]),
        ("/instance/flavor/@name", ["m1.small"]),
        ("/instance/*/@name", ["m1.small", "other"]),
        ("/*/name/text()", ["web-1"]),
        ("//name/text()", ["web-1", "second"]),
        ("/instance//name/text()", ["web-1", "second"]),
        ("/instance/name//text()", ["web-1"]),
        ("//port//text()", ["second"]),
        ("//@address", ["10.0.0.1", "10.0.0.2"]),
        ("/instance/ports/port[1]/@uuid", ["a"]),
        ("/instance/ports/port[2]/@uuid", ["b"]),
        ("/instance/ports/port[3]/@uuid", []),
        ("/instance/*[2]/text()", ["web-1"]),
        ("//ip[1]/@address", ["10.0.0.1", "10.0.0.2"]),
        ("//port[@uuid='b']/ip/@address", ["10.0.0.2"]),
        ('//port[@uuid="b"]/ip/@address', ["10.0.0.2"]),
        ("//port[name='second']/@uuid", ["b"]),
        ("//port[name='sec']/@uuid", []),
        ("//port[@uuid='b'][1]/@uuid", ["b"]),
        ("//port[1][@uuid='b']/@uuid", []),
        ("//ip[@type='fixed'][2]/@address", []),
        ("/instance/owner[user='alice']/project/text()", ["shop"]),
        ("/*[owner='aliceshop']/name/text()", ["web-1"]),
        ("/instance/owner[@none='']/@uuid", []),
        ("/other/name/text()", []),
        ("/name/text()", []),
        ("/text()", []),
        ("//text()", ["web-1", "2048", "20", "alice", "shop", "second", "of another namespace"]),
    ],
)
def test_what_a_path_selects(path, expected):
    assert sorted(Path(path).select(NOVA)) == sorted(expected)


def test_texts_with_something_between_them_are_several():
    assert Path("/a/text()").select(element("a", "x", element("b", "y"), "z")) == ["x", "z"]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", "it does not begin with /"),
        ("instance/name/text()", "it does not begin with /"),
        ("./name/text()", "it does not begin with /"),
        ("/", "instead of its end"),
        ("/instance/", "instead of its end"),
        ("/instance/name", "it ends in an element"),
        ("/instance/name ", "it ends in an element"),
        ("/nova:instance/nova:name/text()", "the prefix nova:"),
        ("/instance/@nova:uuid", "the prefix nova:"),
        ("/instance/child::name/text()", "the axis child::"),
        ("/instance/attribute::name", "the axis attribute::"),
        ("/descendant-or-self :: a/text()", "the axis descendant-or-self::"),
        ("/instance/..", "instead of '..'"),
        ("/instance/./text()", "instead of './text()'"),
        ("/instance/@*", "instead of '*'"),
        ("/a/text()|/b/text()", "nothing may follow text() or @name: '|/b/text()'"),
        ("/a|/b", "a / is missing before '|/b'"),
        ("string(/a)", "the function string()"),
        ("/a[last()]/text()", "the function last()"),
        ("/a[position()=1]/text()", "the function position()"),
        ("/a[contains (@b, 'c')]/text()", "the function contains()"),
        ("/a[text()='b']/@c", "the function text()"),
        ("/a/node()", "the function node()"),
        ("/a/comment()", "the function comment()"),
        ("/a/text()[1]", "nothing may follow"),
        ("/a/text()/b", "nothing may follow"),
        ("/a/@b/c", "nothing may follow"),
        ("/a[@b]/text()", "only ='text' may follow here"),
        ("/a[b]/text()", "only ='text' may follow here"),
        ("/a[b!='c']/text()", "only ='text' may follow here"),
        ("/a[b='c' and d='e']/text()", "a ] is missing before \"and d='e']/text()\""),
        ("/a[b/c='d']/text()", "only ='text' may follow here"),
        ("/a[.='b']/text()", "a number, @name or a child's name"),
        ("/a['b'=@c]/text()", "a number, @name or a child's name"),
        ("/a[b=c]/text()", "a text in quotes is wanted"),
        ("/a[b='c]/text()", "a text in quotes is wanted"),
        ("/a[@b=1]/text()", "a text in quotes is wanted"),
        ("/a[0]/text()", "[0] selects nothing"),
        ("/a[00]/text()", "[0] selects nothing"),
        ("/a[-1]/text()", "a number, @name"),
        ("/a[1.5]/text()", "a number, @name"),
        ("/a[]/text()", "a number, @name"),
        ("/a[1/text()", "a ] is missing"),
        ("/1a/text()", "a name, *, text() or @name"),
        ("/a b/text()", "a / is missing before 'b/text()'"),
        ("/" + "x" * 500 + "(", "the function xxx"),
    ],
    ids=lambda part: part[:30],
)
def test_what_is_not_understood_is_refused_by_name(path, said):
    with pytest.raises(ValueError, match=re.escape(said)) as refusal:
        Path(path)
    assert len(str(refusal.value)) < 150


@given(st.text(st.sampled_from("/a*[]@='\"1:().| text")) | st.text())
def test_any_text_is_a_path_or_refused(text):
    with contextlib.suppress(ValueError):
        Path(text).select(NOVA)


def test_paths_are_equal_by_their_text():
    assert Path("/a/text()") == Path("/a/text()") != Path("/b/text()")
    assert len({Path("/a/text()"), Path("/a/text()")}) == 1


# Against another way to evaluate: of every node of the document, ask whether the path leads to it


class Node:
    """An element that knows its parent."""

    def __init__(self, of: Element, parent: Node | None) -> None:
        self.of = of
        self.parent = parent
        self.inside = [Node(child, self) for child in of.children if isinstance(child, Element)]

    def all(self) -> Iterator[Node]:
        yield self
        for child in self.inside:
            yield from child.all()

    def text(self) -> str:
        parts = [child if isinstance(child, str) else Node(child, self).text() for child in self.of.children]
        return "".join(parts)

    def ancestry(self) -> Iterator[Node]:
        """Itself and what it is in, up to the document."""
        node: Node | None = self
        while node is not None:
            yield node
            node = node.parent


def leads_to(steps, node: Node) -> bool:
    if node.parent is None:
        return not steps
    if not steps:
        return False
    *before, (deep, name, predicates) = steps
    if node not in passing(node.parent, name, predicates):
        return False
    return any(leads_to(before, start) for start in (node.parent.ancestry() if deep else [node.parent]))


def passing(parent: Node, name: str, predicates) -> list[Node]:
    left = [node for node in parent.inside if name in ("*", node.of.name)]
    for kind, key, value in predicates:
        if kind == "number":
            left = [node for position, node in enumerate(left, 1) if position == key]
        elif kind == "attribute":
            left = [node for node in left if node.of.attributes.get(key) == value]
        else:
            left = [node for node in left if any(c.of.name == key and c.text() == value for c in node.inside)]
    return left


def by_asking(steps, deep, attribute, root: Element) -> list[str]:
    found = []
    for node in Node(element("", root), None).all():
        if any(leads_to(steps, start) for start in (node.ancestry() if deep else [node])):
            if attribute:
                found += [value for key, value in node.of.attributes.items() if key == attribute]
            else:
                found += [child for child in node.of.children if isinstance(child, str)]
    return found


def spelled(steps, deep, attribute) -> str:
    text = ""
    for is_deep, name, predicates in steps:
        text += ("//" if is_deep else "/") + name
        for kind, key, value in predicates:
            text += f"[{key}]" if kind == "number" else f"[{'@' * (kind == 'attribute')}{key}='{value}']"
    return text + ("//" if deep else "/") + (f"@{attribute}" if attribute else "text()")


WORDS = st.sampled_from("ab")
TEXTS = st.sampled_from(["x", "y"])
ATTRIBUTES = st.dictionaries(WORDS, TEXTS, max_size=2)
LEAVES = st.builds(lambda name, text, attributes: element(name, text, **attributes), WORDS, TEXTS, ATTRIBUTES)
FOREIGN = st.builds(lambda text, attributes: element("", text, **attributes), TEXTS, ATTRIBUTES)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        lambda name, children, attributes: element(name, *children, **attributes),
        WORDS,
        st.lists(inner | LEAVES | TEXTS | FOREIGN, min_size=1, max_size=5),
        ATTRIBUTES,
    ),
    max_leaves=15,
)


@st.composite
def journeys(draw):
    """A document, and a path that leads somewhere in it or only just not: steps, deep, attribute."""
    root = draw(TREES)
    node, steps = Node(element("", root), None), []
    while node.inside and (not steps or draw(st.booleans())):
        parent, node = node, draw(st.sampled_from(node.inside))
        name = draw(st.sampled_from([node.of.name or "*", "*"]))
        predicates = draw(st.lists(predicates_of(parent, node), max_size=2))
        steps.append((draw(st.booleans()), name, predicates))
    if draw(st.booleans()):
        # A step left out of what a // spans, or wrong.
        steps.pop(draw(st.integers(0, len(steps) - 1)))
    return root, steps, draw(st.booleans()), draw(st.just("") | WORDS)


def predicates_of(parent: Node, node: Node):
    """Predicates that may well hold for a child."""
    texts = [child.text() for child in node.inside]
    return st.one_of(
        st.tuples(st.just("number"), st.integers(1, len(parent.inside)), st.just("")),
        st.tuples(st.just("attribute"), WORDS, TEXTS),
        st.tuples(st.just("child"), WORDS, st.sampled_from(["x", *texts, *(f"{text}x" for text in texts)])),
    )


@given(journeys())
def test_a_path_selects_what_it_leads_to(journey):
    root, *steps = journey
    assert sorted(Path(spelled(*steps)).select(root)) == sorted(by_asking(*steps, root))


def test_a_deep_document_costs_no_stack_and_little_time():
    root = element("a", "x" * 100_000)
    for _ in range(1000):
        root = element("a", root)
    start = time.process_time()
    assert len(Path("//a//a//a//text()").select(root)) == 1
    assert Path(f"//a[a='{'x' * 99}']//@b").select(root) == []
    assert len(Path("//*[1]//a[a='x'][1]//text()").select(root)) == 0
    # A hundredth of it on a slow day.
    assert time.process_time() - start < 4
