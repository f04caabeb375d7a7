"""Query text to tree: recursive descent over the grammar.

Chains of AND and OR are parsed in a loop and stay flat, so that tens of thousands of terms are
fine; only parentheses and subqueries recurse, to a bounded depth.

Source: spec rql.md §2.
"""

from __future__ import annotations

from functools import lru_cache

from hinterland.errors import QuerySyntaxError
from hinterland.query.ast import (
    AGGREGATES,
    Aggregate,
    And,
    Argument,
    Arithmetic,
    Between,
    Comparison,
    Condition,
    Constant,
    Distinct,
    GeoWithin,
    Index,
    KeyPathArgument,
    Limit,
    ListLiteral,
    Literal,
    Not,
    ObjectLiteral,
    Operand,
    Or,
    Ordering,
    Path,
    Query,
    RawKey,
    Region,
    Sort,
    Step,
    Subquery,
    Truth,
)
from hinterland.query.lexer import NAME_WORDS, Token, tokens
from hinterland.query.problems import caret

__all__ = ["parse", "parse_path", "parse_region"]

DEPTH_MAX = 50
STEPS_MAX = 200
"""Of one path; SQLite joins fewer tables."""
OPERATIONS_MAX = 200
_SHORT = 2000

_EQUALITY = frozenset({"==", "!=", "IN"})
_RELATION = frozenset({"<", "<=", ">", ">="})
_TEXTUAL = frozenset({"BEGINSWITH", "ENDSWITH", "CONTAINS", "LIKE"})
_AFTER_ARITHMETIC = _EQUALITY | _RELATION | {"+", "-", "*", "/"}
_QUANTIFIERS = frozenset({"ANY", "ALL", "NONE"})
_REGIONS = {"GEOBOX": "geoBox", "GEOCIRCLE": "geoCircle", "GEOPOLYGON": "geoPolygon"}
_CONSTANT_STARTS = frozenset({"number", "value", "string", "base64", "argument", "raw", "TRUE", "FALSE", "NULL", "OBJ"})


def parse(text: str) -> Query:
    """Return the tree of a query text.

    Raises:
        QuerySyntaxError: The text does not follow the grammar; the message points at the place.
    """
    return _short(text) if len(text) <= _SHORT else _Parser(text).query()


@lru_cache(maxsize=512)
def _short(text: str) -> Query:
    """Parse a text of usual length; programs use the same few again and again."""
    return _Parser(text).query()


def parse_path(text: str) -> Path:
    """Return a dotted path, as in a key-path argument or `sorted("employer.name")`."""
    parser = _Parser(text)
    path = parser.plain_path()
    parser.expect("end", "the path ends here")
    return path


def parse_region(text: str) -> Region:
    """Return a region written in query syntax."""
    parser = _Parser(text)
    region = parser.region()
    parser.expect("end", "the region ends here")
    return region


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokens(text)
        self.index = 0
        self.depth = 0
        self.operations = 0
        self.closing = _matching(self.tokens)

    # -- tokens ----------------------------------------------------------------------------------

    @property
    def token(self) -> Token:
        return self.tokens[self.index]

    def peek(self) -> str:
        return self.tokens[self.index].kind

    def after(self) -> str:
        return self.tokens[self.index + 1].kind if self.index + 1 < len(self.tokens) else "end"

    def next(self) -> Token:
        token = self.tokens[self.index]
        self.index += 1
        return token

    def accept(self, kind: str) -> bool:
        if self.tokens[self.index].kind == kind:
            self.index += 1
            return True
        return False

    def expect(self, kind: str, what: str) -> Token:
        if self.peek() != kind:
            raise self.problem(f"{what}, but {self.found()} follows")
        return self.tokens[self.index] if kind == "end" else self.next()

    def found(self) -> str:
        return "nothing" if self.peek() == "end" else repr(self.token.text)

    def problem(self, message: str, at: int | None = None) -> QuerySyntaxError:
        return QuerySyntaxError(message + caret(self.text, self.token.at if at is None else at))

    def enter(self) -> None:
        self.depth += 1
        if self.depth > DEPTH_MAX:
            raise self.problem(f"the query is nested more than {DEPTH_MAX} levels deep")

    # -- conditions ------------------------------------------------------------------------------

    def query(self) -> Query:
        steps: list[Condition | Ordering] = [self.disjunction()]
        while self.peek() != "end":
            steps.append(self.ordering())
        return Query(tuple(steps), self.text)

    def disjunction(self) -> Condition:
        at = self.token.at
        terms = [self.conjunction()]
        while self.accept("OR"):
            terms.append(self.conjunction())
        if len(terms) == 1:
            return terms[0]
        return Or(tuple(inner for one in terms for inner in (one.conditions if isinstance(one, Or) else (one,))), at)

    def conjunction(self) -> Condition:
        at = self.token.at
        terms = [self.negation()]
        while self.accept("AND"):
            terms.append(self.negation())
        if len(terms) == 1:
            return terms[0]
        return And(tuple(inner for one in terms for inner in (one.conditions if isinstance(one, And) else (one,))), at)

    def negation(self) -> Condition:
        at = self.token.at
        negative = False
        while self.accept("NOT"):
            negative = not negative
        condition = self.primary()
        if not negative:
            return condition
        return condition.condition if isinstance(condition, Not) else Not(condition, at)

    def primary(self) -> Condition:
        token = self.token
        if token.kind in ("TRUEPREDICATE", "FALSEPREDICATE"):
            self.index += 1
            return Truth(token.kind == "TRUEPREDICATE", token.at)
        if token.kind == "(" and not self.starts_arithmetic():
            self.enter()
            self.index += 1
            condition = self.disjunction()
            self.expect(")", "a closing parenthesis is needed here")
            self.depth -= 1
            return condition
        return self.comparison()

    def starts_arithmetic(self) -> bool:
        close = self.closing.get(self.index)
        if close is None:
            raise self.problem("this parenthesis is never closed")
        return self.tokens[close + 1].kind in _AFTER_ARITHMETIC

    def comparison(self) -> Condition:
        outer, self.operations = self.operations, 0
        found = self.one_comparison()
        self.operations = outer
        return found

    def one_comparison(self) -> Condition:
        at = self.token.at
        left = self.arithmetic()
        operator = self.next()
        kind = operator.kind
        if kind in _EQUALITY:
            folded = self.accept("[c]")
            return Comparison(kind, left, self.arithmetic(), folded, at)
        if kind in _RELATION:
            return Comparison(kind, left, self.arithmetic(), at=at)
        if isinstance(left, Arithmetic):
            self.index -= 1
            raise self.problem(
                f"after arithmetic a comparison (== != < <= > >= IN) is needed, but {self.found()} follows"
            )
        if kind in _TEXTUAL:
            folded = self.accept("[c]")
            return Comparison(kind, left, self.operand(), folded, at)
        if kind == "TEXT":
            return Comparison(kind, left, self.operand(), at=at)
        if kind == "BETWEEN":
            if self.peek() != "{" and not (self.peek() in _QUANTIFIERS and self.after() == "{"):
                raise self.problem("BETWEEN needs two bounds in braces, as in BETWEEN {1, 5}")
            return Between(left, self.list_literal(), at)
        if kind == "GEOWITHIN" and isinstance(left, Path):
            region = self.argument() if self.peek() == "argument" else self.region()
            return GeoWithin(left, region, at)
        self.index -= 1
        raise self.problem(f"a comparison is needed here, but {self.found()} follows")

    # -- operands --------------------------------------------------------------------------------

    def arithmetic(self) -> Operand:
        left = self.term()
        while self.peek() in ("+", "-"):
            operator = self.next()
            left = self.operation(operator, left, self.term())
        return left

    def term(self) -> Operand:
        left = self.factor()
        while self.peek() in ("*", "/"):
            operator = self.next()
            left = self.operation(operator, left, self.factor())
        return left

    def operation(self, operator: Token, left: Operand, right: Operand) -> Arithmetic:
        self.operations += 1
        if self.operations > OPERATIONS_MAX:
            raise self.problem(f"a comparison calculates with more than {OPERATIONS_MAX} operators", operator.at)
        return Arithmetic(operator.kind, left, right, operator.at)

    def factor(self) -> Operand:
        if self.peek() != "(":
            return self.operand()
        self.enter()
        self.index += 1
        inner = self.arithmetic()
        self.expect(")", "a closing parenthesis is needed here")
        self.depth -= 1
        return inner

    def operand(self) -> Operand:
        token = self.token
        kind = token.kind
        if kind in _QUANTIFIERS:
            return self.quantified()
        if kind == "{":
            return self.list_literal()
        if kind == "SUBQUERY":
            return self.subquery()
        if kind in _CONSTANT_STARTS or (kind == "BINARY" and self.after() == "("):
            return self.constant()
        return self.path(None)

    def quantified(self) -> Operand:
        quantifier = self.next()
        if self.peek() == "{":
            self.index -= 1
            return self.list_literal()
        if self.peek() == "argument":
            token = self.next()
            return Argument(token.value, quantifier.kind, token.at)
        if self.peek() in _CONSTANT_STARTS:
            raise self.problem(f"{quantifier.text} needs a path, a list or an argument behind it")
        return self.path(quantifier)

    def list_literal(self) -> ListLiteral:
        at = self.token.at
        quantifier = self.next().kind if self.peek() in _QUANTIFIERS else None
        self.expect("{", "a list in braces is needed here")
        items: list[Constant] = []
        if not self.accept("}"):
            items.append(self.constant())
            while self.accept(","):
                items.append(self.constant())
            self.expect("}", "the list must be closed by '}'")
        return ListLiteral(tuple(items), quantifier, at)

    def argument(self) -> Argument:
        token = self.expect("argument", "an argument is needed here")
        return Argument(token.value, None, token.at)

    def constant(self) -> Constant:
        token = self.next()
        kind = token.kind
        if kind in ("number", "value"):
            return Literal(token.value, token.text, token.at)
        if kind == "string":
            return Literal(token.value, None, token.at)
        if kind == "base64":
            return Literal(_text_of(token.value), None, token.at)
        if kind == "argument":
            return Argument(token.value, None, token.at)
        if kind in ("TRUE", "FALSE"):
            return Literal(kind == "TRUE", None, token.at)
        if kind == "NULL":
            return Literal(None, None, token.at)
        if kind == "raw":
            return RawKey(token.value, token.at)
        if kind == "BINARY":
            return self.binary(token)
        if kind == "OBJ":
            return self.object_literal(token)
        self.index -= 1
        raise self.problem(f"a value is needed here, but {self.found()} follows")

    def binary(self, token: Token) -> Literal:
        self.expect("(", "binary needs a string in parentheses")
        content = self.next()
        if content.kind not in ("string", "base64"):
            raise self.problem("binary needs a string in parentheses", content.at)
        self.expect(")", "a closing parenthesis is needed here")
        value = content.value
        return Literal(value.encode() if isinstance(value, str) else value, None, token.at)

    def object_literal(self, token: Token) -> ObjectLiteral:
        self.expect("(", "obj needs a class name and a key, as in obj('Person', 5)")
        name = self.expect("string", "obj needs the class name as a string")
        self.expect(",", "obj needs a key behind the class name")
        key = self.next()
        if key.kind == "argument":
            value: Literal | Argument = Argument(key.value, None, key.at)
        elif key.kind == "string" or (key.kind in ("number", "value") and not isinstance(key.value, float)):
            value = Literal(key.value, None, key.at)
        else:
            raise self.problem("a key is an int, a string, a uuid(…) or an oid(…)", key.at)
        self.expect(")", "a closing parenthesis is needed here")
        return ObjectLiteral(name.value, value, token.at)

    def subquery(self) -> Subquery:
        at = self.next().at
        self.enter()
        self.expect("(", "SUBQUERY needs (path, $variable, condition)")
        path = self.plain_path()
        self.expect(",", "SUBQUERY needs a variable behind the path")
        variable = self.expect("name", "SUBQUERY needs a variable such as $x")
        if not variable.value.startswith("$") or len(variable.value) < 2:
            raise self.problem(f"{variable.text!r} is no variable; it must start with $ and a letter", variable.at)
        self.expect(",", "SUBQUERY needs a condition behind the variable")
        condition = self.disjunction()
        self.expect(")", "a closing parenthesis is needed here")
        self.expect(".", "SUBQUERY(…) must be followed by .@count")
        self.expect("@count", "SUBQUERY(…) must be followed by .@count")
        self.depth -= 1
        return Subquery(path, variable.value, condition, at)

    # -- paths -----------------------------------------------------------------------------------

    def path(self, quantifier: Token | None) -> Path | Aggregate:
        at = self.token.at if quantifier is None else quantifier.at
        steps, suffix, function = self.steps()
        if function is None:
            return Path(tuple(steps), None if quantifier is None else quantifier.kind, suffix, at)
        if quantifier is not None:
            raise self.problem(f"{quantifier.text} cannot stand before an aggregate", quantifier.at)
        name = None
        if self.accept("."):
            name = self.name("a property name is needed here").name
        return Aggregate(Path(tuple(steps), None, None, at), function.kind, name, function.at)

    def plain_path(self) -> Path:
        at = self.token.at
        steps, suffix, function = self.steps()
        if suffix is not None or function is not None:
            self.index -= 1
            raise self.problem("a plain path is needed here, without @count, @type or an aggregate")
        return Path(tuple(steps), at=at)

    def name(self, what: str) -> Step:
        token = self.next()
        if token.kind == "name" or token.kind in NAME_WORDS:
            return Step(token.value, token.at)
        self.index -= 1
        raise self.problem(f"{what}, but {self.found()} follows")

    def steps(self) -> tuple[list[Step | Index | KeyPathArgument], str | None, Token | None]:
        """Return the steps of a path, then a suffix or the token of an aggregate."""
        token = self.token
        steps: list[Step | Index | KeyPathArgument]
        if token.kind == "key-path":
            self.index += 1
            steps = [KeyPathArgument(token.value, token.at)]
        elif token.kind == "@links":
            self.index += 1
            steps = [Step("@links", token.at)]
        else:
            steps = [self.name("a property or a value is needed here")]
        while True:
            if len(steps) > STEPS_MAX:
                raise self.problem(f"a path of more than {STEPS_MAX} steps")
            if self.accept("."):
                token = self.token
                if token.kind in ("@count", "@type"):
                    self.index += 1
                    return steps, token.kind, None
                if token.kind in AGGREGATES:
                    self.index += 1
                    return steps, None, token
                if token.kind in ("@links", "@keys", "@values"):
                    self.index += 1
                    steps.append(Step(token.kind, token.at))
                else:
                    steps.append(self.name("a property name is needed behind the dot"))
            elif self.peek() == "[":
                self.index += 1
                if self.peek() == "SIZE" and self.after() == "]":
                    self.index += 2
                    return steps, "@count", None
                steps.append(self.position())
                self.expect("]", "the index must be closed by ']'")
            else:
                return steps, None, None

    def position(self) -> Index:
        token = self.next()
        if token.kind in ("FIRST", "LAST", "*"):
            return Index(token.kind, is_word=True, at=token.at)
        if token.kind == "string":
            return Index(token.value, at=token.at)
        if token.kind == "argument":
            return Index(Argument(token.value, None, token.at), at=token.at)
        if token.kind == "number" and token.text.isdigit():
            return Index(token.value, at=token.at)
        raise self.problem("an index is a number, a string key, FIRST, LAST, SIZE, * or an argument", token.at)

    # -- orderings and regions -------------------------------------------------------------------

    def ordering(self) -> Ordering:
        token = self.next()
        if token.kind not in ("SORT", "DISTINCT", "LIMIT"):
            self.index -= 1
            raise self.problem(f"AND, OR, SORT, DISTINCT, LIMIT or the end is needed here, but {self.found()} follows")
        self.expect("(", f"{token.text} needs parentheses")
        result: Ordering
        if token.kind == "LIMIT":
            count = self.next()
            if count.kind != "number" or not count.text.isdigit():
                raise self.problem("LIMIT needs a whole number", count.at)
            result = Limit(count.value, token.at)
        elif token.kind == "SORT":
            keys = [self.sort_key()]
            while self.accept(","):
                keys.append(self.sort_key())
            result = Sort(tuple(keys), token.at)
        else:
            paths = [self.plain_path()]
            while self.accept(","):
                paths.append(self.plain_path())
            result = Distinct(tuple(paths), token.at)
        self.expect(")", "a closing parenthesis is needed here")
        return result

    def sort_key(self) -> tuple[Path, bool]:
        path = self.plain_path()
        direction = self.next()
        if direction.kind not in ("ASC", "DESC"):
            raise self.problem("a sort key needs ASC or DESC behind it", direction.at)
        return path, direction.kind == "ASC"

    def region(self) -> Region:
        token = self.next()
        shape = _REGIONS.get(token.kind)
        if shape is None:
            raise self.problem("geoWithin needs geoBox(…), geoCircle(…), geoPolygon(…) or an argument", token.at)
        self.expect("(", f"{shape} needs parentheses")
        radius: float | Argument = 0.0
        if shape == "geoPolygon":
            loops = [self.loop()]
            while self.accept(","):
                loops.append(self.loop())
        else:
            loops = [(self.point(),)]
            self.expect(",", f"{shape} needs two parts")
            if shape == "geoBox":
                loops.append((self.point(),))
            else:
                radius = self.coordinate()
        self.expect(")", "a closing parenthesis is needed here")
        return Region(shape, tuple(loops), radius, token.at)

    def loop(self) -> tuple[tuple[float | Argument, float | Argument], ...]:
        self.expect("{", "a loop of points is written {[0.0, 0.0], …}")
        points = [self.point()]
        while self.accept(","):
            points.append(self.point())
        self.expect("}", "the loop must be closed by '}'")
        return tuple(points)

    def point(self) -> tuple[float | Argument, float | Argument]:
        self.expect("[", "a point is written [longitude, latitude]")
        longitude = self.coordinate()
        self.expect(",", "a point is written [longitude, latitude]")
        latitude = self.coordinate()
        if self.accept(","):
            altitude = self.next()
            if not isinstance(altitude.value, float):
                raise self.problem("the altitude is written as a decimal fraction, such as 0.0", altitude.at)
        self.expect("]", "the point must be closed by ']'")
        return longitude, latitude

    def coordinate(self) -> float | Argument:
        token = self.next()
        if token.kind == "argument":
            return Argument(token.value, None, token.at)
        if isinstance(token.value, float) or (token.kind == "number" and token.text.isdigit()):
            return float(token.value)
        raise self.problem("a coordinate is a number; write negative whole numbers as -1.0", token.at)


def _matching(every: list[Token]) -> dict[int, int]:
    """Return the index of the closing parenthesis for each opening one."""
    found: dict[int, int] = {}
    opened: list[int] = []
    for index, token in enumerate(every):
        if token.kind == "(":
            opened.append(index)
        elif token.kind == ")" and opened:
            found[opened.pop()] = index
    return found


def _text_of(raw: bytes) -> str:
    """Return the string of a B64 literal; bytes that are no UTF-8 are kept as lone surrogates."""
    return raw.decode("utf-8", "surrogateescape")
