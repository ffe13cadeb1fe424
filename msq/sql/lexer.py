"""Druid's SQL text as tokens, with the positions that its messages print.

Owns the lexical rules (Calcite's, as Druid configures them) and the list of reserved words; knows no grammar.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from functools import cached_property

from msq.faults import DruidException

WORD, QUOTED, STRING, UNICODE, BINARY, NUMBER, SYMBOL, HINT, END = range(9)

_RESERVED_WORDS = """
ABS ALL ALLOCATE ALLOW ALTER AND ANY ARE ARRAY ARRAY_MAX_CARDINALITY AS ASENSITIVE ASOF ASYMMETRIC AT ATOMIC
AUTHORIZATION AVG BEGIN BEGIN_FRAME BEGIN_PARTITION BETWEEN BIGINT BINARY BIT BLOB BOOLEAN BOTH BY CALL CALLED
CARDINALITY CASCADED CASE CAST CEIL CEILING CHAR CHARACTER CHARACTER_LENGTH CHAR_LENGTH CHECK CLASSIFIER CLOB CLOSE
CLUSTERED COALESCE COLLATE COLLECT COLUMN COMMIT CONDITION CONNECT CONSTRAINT CONTAINS CONVERT CORR CORRESPONDING
COUNT COVAR_POP COVAR_SAMP CREATE CROSS CUBE CUME_DIST CURRENT CURRENT_CATALOG CURRENT_DATE
CURRENT_DEFAULT_TRANSFORM_GROUP CURRENT_PATH CURRENT_ROLE CURRENT_ROW CURRENT_SCHEMA CURRENT_TIME CURRENT_TIMESTAMP
CURRENT_TRANSFORM_GROUP_FOR_TYPE CURRENT_USER CURSOR CYCLE DATE DATETIME DAY DEALLOCATE DEC DECIMAL DECLARE DEFAULT
DEFINE DELETE DENSE_RANK DEREF DESCRIBE DETERMINISTIC DISALLOW DISCONNECT DISTINCT DOT DOUBLE DROP DYNAMIC EACH
ELEMENT ELSE EMPTY END END_FRAME END_PARTITION EQUALS ESCAPE EVERY EXCEPT EXEC EXECUTE EXISTS EXP EXPLAIN EXTEND
EXTERNAL EXTRACT FALSE FETCH FILTER FIRST_VALUE FLOAT FLOOR FOR FOREIGN FRAME_ROW FREE FRIDAY FROM FULL FUNCTION
FUSION GET GLOBAL GRANT GROUP GROUPING GROUPS HAVING HOLD HOUR IDENTITY IMPORT IN INDICATOR INITIAL INNER INOUT
INSENSITIVE INSERT INT INTEGER INTERSECT INTERSECTION INTERVAL INTO IS JOIN JSON_ARRAY JSON_ARRAYAGG JSON_EXISTS
JSON_OBJECT JSON_OBJECTAGG JSON_QUERY JSON_SCOPE JSON_VALUE LAG LANGUAGE LARGE LAST_VALUE LATERAL LEAD LEADING LEFT
LIKE LIKE_REGEX LIMIT LN LOCAL LOCALTIME LOCALTIMESTAMP LOWER MATCH MATCHES MATCH_CONDITION MATCH_NUMBER
MATCH_RECOGNIZE MAX MEASURE MEASURES MEMBER MERGE METHOD MIN MINUS MINUTE MOD MODIFIES MODULE MONDAY MONTH MORE
MULTISET NATIONAL NATURAL NCHAR NCLOB NEW NEXT NO NONE NORMALIZE NOT NTH_VALUE NTILE NULL NULLIF NUMERIC
OCCURRENCES_REGEX OCTET_LENGTH OF OFFSET OLD OMIT ON ONE ONLY OPEN OR ORDER ORDINAL OUT OUTER OVER OVERLAPS OVERLAY
PARAMETER PARTITION PARTITIONED PATTERN PER PERCENT PERCENTILE_CONT PERCENTILE_DISC PERCENT_RANK PERIOD PERMUTE
PORTION POSITION POSITION_REGEX POWER PRECEDES PRECISION PREPARE PREV PRIMARY PROCEDURE QUALIFY RANGE RANK READS REAL
RECURSIVE REF REFERENCES REFERENCING REGR_AVGX REGR_AVGY REGR_COUNT REGR_INTERCEPT REGR_R2 REGR_SLOPE REGR_SXX
REGR_SXY REGR_SYY RELEASE RESET RESULT RETURN RETURNS REVOKE RIGHT ROLLBACK ROLLUP ROW ROWS ROW_NUMBER RUNNING
SAFE_CAST SAFE_OFFSET SAFE_ORDINAL SATURDAY SAVEPOINT SCOPE SCROLL SEARCH SECOND SEEK SELECT SENSITIVE SESSION_USER
SET SHOW SIMILAR SKIP SMALLINT SOME SPECIFIC SPECIFICTYPE SQL SQLEXCEPTION SQLSTATE SQLWARNING SQRT START STATIC
STDDEV_POP STDDEV_SAMP STREAM SUBMULTISET SUBSET SUBSTRING SUBSTRING_REGEX SUCCEEDS SUM SUNDAY SYMMETRIC SYSTEM
SYSTEM_TIME SYSTEM_USER TABLE TABLESAMPLE THEN THURSDAY TIME TIMESTAMP TIMEZONE_HOUR TIMEZONE_MINUTE TINYINT TO
TRAILING TRANSLATE TRANSLATE_REGEX TRANSLATION TREAT TRIGGER TRIM TRIM_ARRAY TRUE TRUNCATE TRY_CAST TUESDAY UESCAPE
UNION UNIQUE UNKNOWN UNNEST UNSIGNED UPDATE UPPER UPSERT USER USING UUID VALUE VALUES VALUE_OF VARBINARY VARCHAR
VARYING VAR_POP VAR_SAMP VERSIONING WEDNESDAY WHEN WHENEVER WHERE WIDTH_BUCKET WINDOW WITH WITHIN WITHOUT YEAR
"""
RESERVED = frozenset(_RESERVED_WORDS.split())
"""Words that name something only when double-quoted."""

_RESERVED_FUNCTION_WORDS = """
ABS AVG CARDINALITY CEIL CEILING CHAR CHAR_LENGTH CHARACTER_LENGTH COALESCE COLLECT CONTAINS CONVERT CORR COUNT
COVAR_POP COVAR_SAMP CUME_DIST CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP DENSE_RANK ELEMENT EVERY EXP FIRST_VALUE
FLOOR FUSION GROUPING HOUR INTERSECTION JSON_ARRAY JSON_ARRAYAGG JSON_OBJECTAGG LAG LAST_VALUE LEAD LEFT LN LOCALTIME
LOCALTIMESTAMP LOWER MAX MIN MINUTE MOD MONTH NORMALIZE NTH_VALUE NTILE NULLIF OCTET_LENGTH PERCENTILE_CONT
PERCENTILE_DISC PERCENT_RANK POWER RANK REGR_AVGX REGR_AVGY REGR_COUNT REGR_INTERCEPT REGR_R2 REGR_SLOPE REGR_SXX
REGR_SXY REGR_SYY RIGHT ROW_NUMBER SECOND SOME SQRT STDDEV_POP STDDEV_SAMP SUM TRANSLATE TRUNCATE UPPER USER VAR_POP
VAR_SAMP WIDTH_BUCKET YEAR DAY
"""
RESERVED_FUNCTIONS = frozenset(_RESERVED_FUNCTION_WORDS.split())
"""Reserved words that may be called as functions."""

_TOKEN = re.compile(
    r"""
      (?P<space>\s+ | --[^\r\n]* | //[^\r\n]* | /\*(?!\+).*?\*/)
    | (?P<hint>/\*\+.*?\*/)
    | (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    | (?P<unicode>[uU]&'[^']*(?:''[^']*)*')
    | (?P<binary>[xX]'[^']*')
    | (?P<string>'[^']*(?:''[^']*)*')
    | (?P<uquoted>[uU]&"[^"]*(?:""[^"]*)*")
    | (?P<quoted>"[^"]*(?:""[^"]*)*")
    | (?P<word>[^\W\d]\w*(?:\$\w*)*|\$[\w$]*)
    | (?P<symbol>=>|<>|<=|>=|!=|\|\||[-+*/%().,;=<>\[\]?:{}])
    """,
    re.VERBOSE | re.DOTALL,
)

_UNICODE_ESCAPE = r"{0}{0}|{0}([0-9a-fA-F]{{4}})|({0})"


class Token:
    """One token. `text` is its meaning (quotes gone), `upper` the word in capitals ("" when it is no bare word or
    symbol), `start` and `end` its place in the statement's text (end exclusive)."""

    __slots__ = ("end", "kind", "start", "text", "upper")

    def __init__(self, kind: int, text: str, upper: str, start: int, end: int) -> None:
        self.kind = kind
        self.text = text
        self.upper = upper
        self.start = start
        self.end = end

    def __repr__(self) -> str:
        return f"Token({self.kind}, {self.text!r}, {self.start}:{self.end})"

    @property
    def reserved(self) -> bool:
        return self.kind == WORD and self.upper in RESERVED


class Source:
    """A statement's text and the way from offsets in it to lines and columns (1-based, columns in UTF-16 units)."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(m.end() for m in re.finditer(r"\r\n|\n|\r", self.text))]

    @cached_property
    def _wide(self) -> list[int]:
        """Offsets of the characters that are two UTF-16 units."""
        return [] if self.text.isascii() else [m.start() for m in re.finditer("[\U00010000-\U0010ffff]", self.text)]

    def at(self, offset: int) -> tuple[int, int]:
        """(line, column) of the character at `offset`."""
        line = bisect_right(self._line_starts, offset)
        first = self._line_starts[line - 1]
        column = offset - first
        if self._wide:
            column += bisect_left(self._wide, offset) - bisect_left(self._wide, first)
        return line, column + 1

    def span(self, start: int, end: int) -> tuple[int, int, int, int]:
        """(line, column, endLine, endColumn) of text[start:end]; the end is the last character's place."""
        return (*self.at(start), *self.at(max(start, end - 1)))


def tokenize(source: Source) -> list[Token]:
    """The tokens of a text, the last one of kind END. Raises the refusal of a text that has no such tokens."""
    text = source.text
    out: list[Token] = []
    at, size = 0, len(text)
    match = _TOKEN.match
    while at < size:
        found = match(text, at)
        if found is None:
            raise _bad_character(source, at)
        kind, piece, end = found.lastgroup, found.group(), found.end()
        if kind == "word":
            out.append(Token(WORD, piece, piece.upper(), at, end))
        elif kind == "symbol":
            out.append(Token(SYMBOL, piece, "<>" if piece == "!=" else piece, at, end))
        elif kind == "number":
            out.append(Token(NUMBER, piece, "", at, end))
        elif kind == "string":
            out.append(Token(STRING, piece[1:-1].replace("''", "'"), "", at, end))
        elif kind == "quoted":
            out.append(Token(QUOTED, piece[1:-1].replace('""', '"'), "", at, end))
        elif kind == "uquoted":
            raw = piece[3:-1].replace('""', '"')
            out.append(Token(QUOTED, unescape(raw, "\\", source, at, end), "", at, end))
        elif kind == "unicode":
            out.append(Token(UNICODE, piece[3:-1].replace("''", "'"), "", at, end))
        elif kind == "binary":
            out.append(Token(BINARY, piece[2:-1], "", at, end))
        elif kind == "hint":
            out.append(Token(HINT, piece[3:-2].strip(), "", at, end))
        at = end
    out.append(Token(END, "<EOF>", "", size, size))
    return out


def unescape(text: str, escape: str, source: Source, start: int, end: int) -> str:
    """The text of a U& literal: `\\00F6` is one UTF-16 unit, `\\\\` one backslash. Raises for anything else."""

    def one(found: re.Match[str]) -> str:
        if found[2]:
            message = f"Unicode escape sequence starting at character [{found.start()}] is not exactly four hex digits"
            raise _refused(source, start, end, message)
        return chr(int(found[1], 16)) if found[1] else escape

    units = re.sub(_UNICODE_ESCAPE.format(re.escape(escape)), one, text)
    return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def unexpected(source: Source, token: Token, expected: tuple[str, ...]) -> DruidException:
    """The refusal of a token that cannot stand where it stands."""
    shown = token.text if token.kind == END else source.text[token.start : token.end][:200]
    last = len(source.text.rstrip())
    span = source.span(last - 1, last) if token.kind == END and last else source.span(token.start, token.end)
    line, column = span[:2]
    if token.reserved and any("IDENTIFIER" in option for option in expected):
        wanted = "".join(f"\n    {option} ..." for option in expected)
        return _syntax(f"{_near(source, token)}\nWas expecting one of:{wanted}")
    refused = _syntax(
        f"Received an unexpected token [{shown}] (line [{line}], column [{column}]), "
        f"acceptable options: [{', '.join(expected)}]"
    )
    refused.context.update(zip(("line", "column", "endLine", "endColumn"), map(str, span)))
    refused.context.update(token=shown, expected=", ".join(expected))
    return refused


def reserved_word(source: Source, token: Token) -> DruidException:
    """The refusal of a reserved word where a name belongs: what Druid says, and what to do about it."""
    line, column = source.at(token.start)
    return _syntax(
        f"{_near(source, token)}\nToken [{token.text}] (line [{line}], column [{column}]) is a reserved keyword. "
        f'To use it as an identifier, quote it as ["{token.text}"]'
    )


def _near(source: Source, token: Token) -> str:
    line, column = source.at(token.start)
    return f"Incorrect syntax near the keyword '{token.text}' at line {line}, column {column}."


def _bad_character(source: Source, at: int) -> DruidException:
    opened = source.text[at]
    if opened in "'\"" or source.text.startswith("/*", at):
        shown = opened + source.text[at + 1 : at + 40]
    else:
        shown = opened
    line, column = source.at(at)
    return _refused(
        source, at, at + 1,
        f"Received an unexpected token [{shown}] (line [{line}], column [{column}]), acceptable options: []",
    )  # fmt: skip


def _syntax(message: str) -> DruidException:
    return DruidException(message, error_code="invalidInput", context={"sourceType": "sql"}, envelope=False)


def _refused(source: Source, start: int, end: int, message: str) -> DruidException:
    refused = _syntax(message)
    refused.context.update(zip(("line", "column", "endLine", "endColumn"), map(str, source.span(start, end))))
    return refused
