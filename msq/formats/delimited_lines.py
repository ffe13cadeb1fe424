"""Single delimited lines, split by Druid's rules, and text rewritten so that any CSV parser splits it alike."""

from __future__ import annotations


class LineSplitter:
    """Splits one line. With a quote: RFC 4180 within the line, lenient as Druid's parser is; without: at separators.

    None stands for an empty field without quotes.
    """

    def __init__(self, separator: str, quote: str | None) -> None:
        self._separator = separator
        self._quote = quote

    def split(self, line: str) -> list[str | None]:
        if self._quote is None or self._quote not in line:
            return [part or None for part in line.split(self._separator)]
        return [self._field(part) for part in self._parts(line)]

    def _parts(self, line: str) -> list[str]:
        """Raw fields: a separator inside a field that starts with a quote does not end it."""
        parts, at = [], 0
        while at < len(line):
            separator = line.find(self._separator, at)
            if separator < 0:
                parts.append(line[at:])
                return parts
            if line[at] != self._quote:
                end = separator
            else:
                end = self._end_of_quoted(line, at)
            parts.append(line[at:end])
            at = end + 1
        if line.endswith(self._separator):
            parts.append("")
        return parts

    def _end_of_quoted(self, line: str, at: int) -> int:
        """The separator behind a quoted field, or the end of the line for a field that is never closed."""
        assert self._quote is not None
        quote = line.find(self._quote, at + 1)
        inside = False
        last = len(line) - 1
        while -1 < quote < last:
            if not inside and line[quote + 1] == self._separator:
                return quote + 1
            while True:
                quote = line.find(self._quote, quote + 1)
                inside = not inside
                if not (-1 < quote < last and line[quote + 1] == self._quote):
                    break
        return len(line)

    def _field(self, raw: str) -> str | None:
        if not raw:
            return None
        quote = self._quote or ""
        if raw.startswith(quote) and raw.find(quote) != raw.rfind(quote):
            raw = raw[1:].removesuffix(quote)
        return raw.replace(quote * 2, quote)


def rewrite(text: bytes, splitter: LineSplitter, width: int) -> bytes:
    """The lines of `text` as plain CSV with `width` fields each, every field that has a value quoted."""
    lines = text.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
    if lines and not lines[-1]:
        lines.pop()
    out = []
    for line in lines:
        fields = splitter.split(line)[:width]
        cells = ["" if f is None else '"' + f.replace('"', '""') + '"' for f in fields]
        out.append(",".join(cells) + "," * (max(width, 1) + 1 - len(cells)) + "\n")
    return "".join(out).encode("utf-8", "surrogatepass")
