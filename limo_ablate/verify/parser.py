"""A Pratt parser from tokens to the typed tree. Prefix forms are in `forms`, postfix ones in `postfix`."""

from __future__ import annotations

from fractions import Fraction

from limo_ablate.verify.deadline import check_time
from limo_ablate.verify.forms import prefix
from limo_ablate.verify.letters import superscript_marks
from limo_ablate.verify.lexer import END, Token, tokenize
from limo_ablate.verify.limits import MAX_DEPTH, MAX_ITEMS, MAX_NODES, LimitReached
from limo_ablate.verify.nodes import (
    ZERO,
    Add,
    Builder,
    Call,
    Degrees,
    Group,
    Listing,
    Logic,
    Mul,
    Node,
    NotParsed,
    Number,
    PlusMinus,
    Power,
    Ratio,
    Relation,
    SetOf,
    SetOperation,
    Symbol,
    Unit,
    add,
    as_number,
    divide,
    is_condition,
    multiply,
    negate,
)
from limo_ablate.verify.numerals import parse_number
from limo_ablate.verify.postfix import postfix
from limo_ablate.verify.vocabulary import (
    AND_WORDS,
    EXPRESSION_ENDS,
    LOGIC,
    LOGIC_LEVEL,
    NOT_AN_ATOM,
    OR_WORDS,
    OVER,
    POWER,
    PRODUCT,
    RATIO,
    RELATION,
    RELATIONS,
    SET_LEVEL,
    SET_OPERATORS,
    SIGN,
    SUM,
    TIMES,
)


def parse(text: str, *, scientific: bool = True, log10: bool = False) -> Node:
    """The tree of `text`, all of which must be mathematics.

    `log10` reads \\log as the decimal logarithm; `scientific` off reads 2e-1 as 2e - 1.
    Raises NotParsed or LimitReached.
    """
    parser = Parser(tokenize(text, scientific=scientific), log10=log10)
    node = parser.answer()
    parser.expect_end()
    return node


class Parser:
    def __init__(self, tokens: list[Token], *, log10: bool) -> None:
        self.tokens = tokens
        self.at = 0
        self.log10 = log10
        self.depth = 0
        self.nodes = 0
        self.bars = 0
        """Number of open absolute values: the next | closes one."""
        self.differentials = 0
        """Number of open integrals: d before a letter ends the integrand."""
        self.conditions = 0
        """Number of open set-builders: | and : end their element."""

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def peek(self) -> str:
        return self.tokens[self.at].text

    def ahead(self, count: int = 1) -> Token:
        place = self.at + count
        return self.tokens[place] if place < len(self.tokens) else END

    def next(self) -> Token:
        """The current token; moves past it unless it is the end."""
        token = self.tokens[self.at]
        self.at += token.kind != "eof"
        return token

    def take(self, *texts: str) -> bool:
        if self.token.text in texts and self.token.kind not in ("text", "eof"):
            self.at += 1
            return True
        return False

    def expect(self, *texts: str) -> None:
        if not self.take(*texts):
            raise NotParsed(f"expected {texts[0]!r}, found {self.peek() or 'the end'!r}")

    def expect_end(self) -> None:
        if self.token.kind != "eof":
            raise NotParsed(f"unexpected {self.peek()!r}")

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise LimitReached(f"nested deeper than {MAX_DEPTH}")

    # answers: one or several, with separators

    def answer(self) -> Node:
        items, separators = [self.expression()], list[str]()
        while self.token.kind != "eof" and (separator := self.separator()):
            if self.token.kind == "eof":
                break
            items.append(self.expression())
            separators.append(separator)
            if len(items) > MAX_ITEMS:
                raise LimitReached(f"more than {MAX_ITEMS} items")
        if len(items) == 1:
            return items[0]
        if any(map(is_condition, items)) and all(isinstance(item, (Relation, Logic)) for item in items):
            return Logic("or" if set(separators) == {"or"} else "and", tuple(items))
        return Listing(tuple(items))

    def separator(self) -> str | None:
        """Takes separators such as ", and" as one; returns "and", "or" or ",", None if there is none."""
        separator = None
        while True:
            token = self.token
            word = token.text.lower().strip(" ,.") if token.kind in ("text", "name") else token.text
            if word in AND_WORDS or word in OR_WORDS:
                separator = "or" if word in OR_WORDS else "and"
            elif token.kind != "text" and word in (",", ";", "\\\\", "&"):
                separator = separator or ","
            else:
                return separator
            self.at += 1

    # expressions

    def expression(self, level: int = 0) -> Node:
        self.deeper()
        check_time()
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise LimitReached(f"more than {MAX_NODES} nodes")
        left, wrapped = self.prefix(), 0
        while True:
            left, more = self.infix(left, level)
            if not more:
                break
            self.nodes += 1
            wrapped += not isinstance(left, (Add, Mul))  # sums and products have all their parts side by side
            if self.depth + wrapped > MAX_DEPTH:
                raise LimitReached(f"nested deeper than {MAX_DEPTH}")
        self.depth -= 1
        return left

    def prefix(self) -> Node:
        token = self.token
        if token.kind == "op" and token.text in "+-" and token.text:
            self.at += 1
            value = self.expression(SIGN)
            return value if token.text == "+" else negate(value)
        if token.kind == "cmd" and token.text in ("pm", "mp"):
            self.at += 1
            return PlusMinus(1 if token.text == "pm" else -1, ZERO, self.expression(SIGN))
        return prefix(self)

    def argument(self) -> Node:
        """One argument of a command: a group, or a single atom."""
        if self.take("{"):
            node = self.answer()
            self.expect("}")
            return node
        if self.take("-"):
            return negate(self.prefix())
        self.deeper()
        node = self.prefix()
        self.depth -= 1
        return node

    def infix(self, left: Node, level: int) -> tuple[Node, bool]:
        """`left` extended by the next operator, and whether there was one that binds at this level."""
        token = self.token
        text = token.text
        if token.kind == "eof" or (token.kind not in ("text", "num") and text in EXPRESSION_ENDS):
            return left, False
        if token.kind in ("op", "cmd", "name"):
            if (node := postfix(self, left, token)) is not None:
                return node, True
            if text == "^" and level < POWER + 1:
                self.at += 1
                return self.power(left), True
            if (text in RELATIONS and text != "in") or (text == "in" and token.kind in ("cmd", "name")):
                return (self.relation(left), True) if level < RELATION else (left, False)
            binary = self.binary(left, token, level)
            if binary is not None:
                return binary
        if isinstance(left, Degrees) and token.kind == "num" and self.ahead().text == "'":
            return Degrees(add(left.value, self.minutes_of_arc())), True
        if isinstance(left, Degrees) and text in ("C", "F"):
            self.at += 1
            return multiply(left.value, Unit("celsius" if text == "C" else "fahrenheit", True)), True
        if token.kind == "text" and text == "to" and level < RATIO:
            self.at += 1
            return Ratio((left, self.expression(RATIO))), True
        if level < PRODUCT and self.starts_atom():
            if token.kind == "num" and isinstance(left, Mul) and isinstance(left.factors[-1], Unit):
                return add(left, self.expression(SUM)), True  # 2 hours 30 minutes
            right = self.expression(PRODUCT)
            return multiply(left, right), True
        return left, False

    def minutes_of_arc(self) -> Number:
        """30' and 30'15'' as parts of a degree."""
        minutes = parse_number(self.next().text).value
        self.at += 1
        seconds = Fraction(0)
        if self.token.kind == "num" and self.ahead().text == "'" == self.ahead(2).text:
            seconds = parse_number(self.next().text).value
            self.at += 2
        return Number(minutes / 60 + seconds / 3600)

    def binary(self, left: Node, token: Token, level: int) -> tuple[Node, bool] | None:
        """Binary operators; None if `token` is not one."""
        text = token.text
        if text in ("+", "-", "pm", "mp"):
            if level >= SUM:
                return left, False
            self.at += 1
            right = self.expression(SUM)
            if text in ("pm", "mp"):
                return PlusMinus(1 if text == "pm" else -1, left, right), True
            return add(left, right if text == "+" else negate(right)), True
        if text in TIMES or text in ("/", "div"):
            if level >= PRODUCT:
                return left, False
            self.at += 1
            right = self.expression(PRODUCT) if self.peek() not in ("-", "+") else self.prefix()
            return (divide(left, right) if text in ("/", "div") else multiply(left, right)), True
        if text == ":" and not self.conditions:
            if level >= RATIO:
                return left, False
            self.at += 1
            right = self.expression(RATIO)
            return Ratio((*(left.parts if isinstance(left, Ratio) else (left,)), right)), True
        if text in ("over", "choose") and level < OVER:
            self.at += 1
            right = self.expression(OVER)
            return (divide(left, right) if text == "over" else Call("binomial", (left, right))), True
        if text in SET_OPERATORS and token.kind == "cmd":
            return self._same(left, level, SET_LEVEL, SetOperation, SET_OPERATORS[text])
        if text in LOGIC and token.kind == "cmd":
            return self._same(left, level, LOGIC_LEVEL, Logic, LOGIC[text])
        return None

    def _same(
        self, left: Node, level: int, own: int, node: type[SetOperation] | type[Logic], operator: str
    ) -> tuple[Node, bool]:
        if level >= own:
            return left, False
        self.at += 1
        right = self.expression(own)
        joins = isinstance(left, node) and left.operator == operator and operator != "setminus"
        return node(operator, (*(left.parts if joins else (left,)), right)), True  # type: ignore[union-attr]

    def relation(self, left: Node) -> Node:
        """A chain: a < b = c."""
        operands, operators = [left], list[str]()
        while self.peek() in RELATIONS and self.token.kind in ("op", "cmd", "name"):
            operators.append(RELATIONS[self.next().text])
            operands.append(self.expression(RELATION))
        return Relation(tuple(operands), tuple(operators))

    def power(self, base: Node) -> Node:
        if self.take("{"):
            if isinstance(base, Symbol) and self.peek() in ("'", "prime", "*", "+", "-", "top", "T"):
                mark = self.peek() if self.ahead().text == "}" else ""
                if mark or self.peek() in ("'", "prime"):
                    return Symbol(base.name + superscript_marks(self))
            exponent = self.answer()
            self.expect("}")
            return Power(base, as_number(exponent))
        if isinstance(base, Symbol) and self.peek() in ("prime", "*", "'"):
            return Symbol(base.name + ("'" if self.next().text != "*" else "*"))
        if self.take("-"):
            return Power(base, negate(self.expression(POWER)))
        self.take("+")
        return Power(base, as_number(self.expression(POWER)))

    def starts_atom(self) -> bool:
        token = self.token
        if token.kind == "num":
            return self.tokens[self.at - 1].kind not in ("num", "repeating")
        if token.kind == "text":
            word = token.text.lower().strip(" ,.")
            return word not in AND_WORDS and word not in OR_WORDS
        if token.kind == "name":
            return token.text not in ("and", "or", "in") and not self.differential()
        if token.text == "[" and (
            self.ahead().kind == "eof" or self.ahead().text in NOT_AN_ATOM | EXPRESSION_ENDS
        ):
            return False
        if token.text in ("|", "\\|", "||"):
            return not self.bars and not self.conditions
        return (
            token.kind in ("cmd", "op", "begin", "repeating")
            and token.text not in NOT_AN_ATOM | EXPRESSION_ENDS
        )

    def differential(self) -> bool:
        """`d x` inside an integral ends the integrand."""
        return bool(self.differentials) and self.peek() == "d" and self.ahead().kind in ("name", "cmd")

    # brackets

    def bracket(self, opening: str) -> Node:
        """The value, tuple or interval after `opening`, which has been taken, up to its closing bracket."""
        bars, self.bars = self.bars, 0
        conditions, self.conditions = self.conditions, 0
        if opening == "(" and self.take(")"):
            return Group("(", (), ")")
        if opening == "[" and self.take("]"):
            return Group("[", (), "]")
        items = self.items(")", "]", ")" if opening == "(" else "[")
        closing = self.next().text
        self.bars, self.conditions = bars, conditions
        if len(items) == 1:
            if (opening, closing) not in (("(", ")"), ("[", "]")):
                raise NotParsed(f"{opening!r} closed by {closing!r}")
            return items[0]
        opening, closing = ("(" if opening == "]" else opening), (")" if closing == "[" else closing)
        return Group(opening, items, closing)

    def items(self, *ends: str) -> tuple[Node, ...]:
        """Expressions separated by commas, up to one of `ends`, which is not taken."""
        items = [self.expression()]
        while self.separator():
            items.append(self.expression())
            if len(items) > MAX_ITEMS:
                raise LimitReached(f"more than {MAX_ITEMS} items")
        if self.peek() not in ends or self.token.kind == "eof":
            raise NotParsed(f"expected {ends[0]!r}, found {self.peek() or 'the end'!r}")
        return tuple(items)

    def braces(self, *ends: str) -> Node:
        """A set, {1, 2} or {x | x > 0}, up to one of `ends`, which is taken."""
        if self.take(*ends):
            return SetOf(())
        bars, self.bars = self.bars, 0
        self.conditions += 1
        first = self.expression()
        self.conditions -= 1
        if self.take("mid", "|", ":", "colon"):
            condition = self.answer()
            self.expect(*ends)
            self.bars = bars
            return Builder(first, condition)
        items = [first]
        while self.separator() and self.peek() not in ends:
            items.append(self.expression())
        self.expect(*ends)
        self.bars = bars
        return SetOf(tuple(items))
