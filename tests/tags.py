"""The tags of a page, read by the standard library."""

from html.parser import HTMLParser


class Tags(HTMLParser):
    """Collects what a page refers to and what it defines, and checks that its tags are closed."""

    VOID = frozenset({"meta", "br", "rect", "path", "use", "link", "input", "img", "hr"})

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.ids, self.references, self.open, self.tags = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("href", "src", "xlink:href"):
                self.references.append(value)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag
