"""Where an answer is found, and that a megabyte is scanned from its end."""

from __future__ import annotations

import pytest

from limo_ablate.verify.extract import Extract, extract, last_boxed
from limo_ablate.verify.turns import Thinking


def found(completion: str, mode: Extract = "stated") -> tuple[str, str]:
    extraction = extract(completion, mode)
    assert not isinstance(extraction, str), extraction
    return extraction.text, extraction.how


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        (r"so \boxed{5}", "5"),
        (r"so \boxed{\frac{1}{2}} and on", r"\frac{1}{2}"),
        (r"\fbox{7}", "7"),
        (r"\boxed 5", "5"),
        (r"first \boxed{3}, later \boxed{4}", "4"),
        (r"\boxed{3} and \boxed{4}", "3, 4"),
        (r"\boxed{4}, \boxed{4}", "4"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (
            r"\boxed{\left\{\begin{array}{l} x \\ y\end{array}\right.}",
            r"\left\{\begin{array}{l} x \\ y\end{array}\right.",
        ),
        (r"\boxed{12", None),
        (r"so $\boxed{12$ is right", "12"),
        (r"\boxed{7}, no: \boxed{12", "7"),
        (r"so $a = -\boxed{256}$.", "-256"),
        (r"$\boxed{5}\sqrt{2}$", r"5\sqrt{2}"),
        (r"$\boxed{x+1}^2$", "(x+1)^2"),
        (r"$2\boxed{\sqrt3}$", r"2\sqrt3"),
        (r"\[x=\boxed{5}i\]", "5i"),
        (r"$-\boxed{2}$ and $-\boxed{3}$", "-2, -3"),
        (r"- \boxed{5}", "5"),
        (r"so \boxed{42}!", "42"),
        (r"$3-\boxed{5}$", "5"),
        (r"$12=4\times\boxed{3}$", "3"),
        (r"\boxed{7} \boxed{}", "7"),
        (r"\boxed{\boxed{7}}", "7"),
        (r"\boxed{8}<|im_end|> \boxed{9}", "8"),
        ("no box", None),
        (r"\boxed{}", None),
        (r"\boxedtext{5}", None),
        ("", None),
    ],
)
def test_boxes(completion: str, answer: str | None) -> None:
    assert last_boxed(completion) == answer


@pytest.mark.parametrize(
    ("completion", "answer", "how"),
    [
        ("The answer is 12.", "12", "stated"),
        ("the answer is $x=3$ and $y=4$.", "$x=3$ and $y=4$", "stated"),
        ("The answer is 3.5. Next we check.", "3.5", "stated"),
        ("The answer is 12 because 3*4 = 12.", "12", "stated"),
        ("#### 18", "18", "stated"),
        ("**Answer:** 12 apples", "12 apples", "stated"),
        ("**Final Answer**\n\n12", "12", "stated"),
        ("答案是12。", "12", "stated"),
        ("故选：B．", "B．", "stated"),
        ("The answer is 6. No: the answer is 7.", "7", "stated"),
        ("42", "42", "stated"),
        ("12 apples", "12 apples", "whole"),
        ("Option B", "Option B", "whole"),
        ("We add the two parts\nso the total is 42.", "42", "stated"),
    ],
)
def test_stated_answers(completion: str, answer: str, how: str) -> None:
    assert found(completion) == (answer, how)


@pytest.mark.parametrize(
    ("completion", "answer", "how"),
    [
        ("We bought 12 apples and later 30 pears\nfor all of the children", "30", "number"),
        ("We add the two parts and then get $2+3=5$ and so on.", "2+3=5", "formula"),
    ],
)
def test_the_last_formula_or_number_is_a_guess(completion: str, answer: str, how: str) -> None:
    assert extract(completion, "stated") == "no_answer"
    assert found(completion, "lenient") == (answer, how)


def test_a_box_is_found_before_a_megabyte_of_text() -> None:
    assert found(r"\boxed{5}" + " and so on" * 100_000) == ("5", "box")


def test_separate_boxes_are_kept_for_gold_answers_with_several_values() -> None:
    extraction = extract(r"First \boxed{3}. With more work we find \boxed{5}.")
    assert not isinstance(extraction, str)
    assert (extraction.text, extraction.boxes) == ("5", ("3", "5"))


@pytest.mark.parametrize(
    ("completion", "thinking", "answer"),
    [
        (r"<think>Maybe \boxed{7}? Let me check", "auto", "unfinished"),
        (r"<think>Maybe \boxed{7}? Let me check", "think", "unfinished"),
        (r"<think>Maybe \boxed{7}? Let me check", "none", "7"),
        (r"<think>Maybe \boxed{7}?</think> It is \boxed{8}.", "auto", "8"),
        (r"<think>Surely \boxed{7}.</think>", "auto", "no_answer"),
        (r"Maybe \boxed{7}?</think> It is \boxed{8}.", "auto", "8"),
        (r"<think>a</think> It is \boxed{8}. <think> or \boxed{9}", "auto", "8"),
        (r"<|begin_of_thought|> \boxed{7}", "auto", "unfinished"),
        (r"<|begin_of_thought|> \boxed{7}", "think", "7"),
        (r"<|begin_of_thought|>a<|end_of_thought|> \boxed{8}", "begin_of_thought", "8"),
        (r"<|channel|>analysis<|message|>\boxed{7}", "channels", "unfinished"),
        (
            r"<|channel|>analysis<|message|>7?<|end|><|channel|>final<|message|>\boxed{8}<|return|>",
            "auto",
            "8",
        ),
        (r"analysisWe try \boxed{7}.assistantfinalIt is \boxed{8}.", "channels", "8"),
        (r"analysisWe try \boxed{7}", "channels", "unfinished"),
        (r"The analysis gives \boxed{7}", "auto", "7"),
    ],
)
def test_thinking_holds_no_answer(completion: str, thinking: Thinking, answer: str) -> None:
    extraction = extract(completion, thinking=thinking)
    assert (extraction if isinstance(extraction, str) else extraction.text) == answer


def test_the_chat_template_may_open_the_thinking() -> None:
    prompt = "<|im_start|>assistant\n<think>\n"
    assert extract(r"Maybe \boxed{7}? Let me", prompt=prompt) == "unfinished"
    assert extract(r"\boxed{7}?</think>", prompt=prompt) == "no_answer"
    extraction = extract(r"\boxed{7}?</think> No: \boxed{8}", prompt=prompt)
    assert not isinstance(extraction, str)
    assert extraction.text == "8"


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        (r"so \boxed{7}. Let me check this by", "7"),
        ("The answer is 7. Let me check this by", "7"),
        ("#### 7\n\nQuestion: what", "7"),
        ("We get x = 7. So the total is 8", "unfinished"),
        ("so the total is $x = 7$.", "unfinished"),
        ("7", "unfinished"),
        (r"so \boxed{7", "unfinished"),
    ],
)
def test_in_text_that_was_cut_off_only_a_box_or_a_phrase_counts(completion: str, answer: str) -> None:
    extraction = extract(completion, finished=False)
    assert (extraction if isinstance(extraction, str) else extraction.text) == answer


def test_what_the_prompt_says_is_no_answer() -> None:
    prompt = "A box has 12 balls, and $x = 5$. The sum of both is $17$. How many are red?"
    restated = "We know that $x = 5$. The sum of both is $17$."
    assert extract(restated, prompt=prompt) == "no_answer"
    assert found_with(prompt, "The answer is $17$.", "stated") == "$17$"
    assert found_with(prompt, "$17$", "stated") == "$17$"
    assert found_with(prompt, "Say $y = 3$ and then $x = 5$ next", "lenient") == "y = 3"


PROMPT = "A jar holds 5 red balls and 7 blue balls, which weigh 40 g each. How many balls are in the jar?"


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("The jar contains 5 red balls.", None),
        ("We start from the fact that the weight is 40 g.", None),
        ("The blue balls number seven. Every one of them weighs 40 g.", None),
        ("There are 7 blue balls.", None),
        ("There are 12 balls.", "12"),
        ("The jar is home to 12 balls.", "12"),
        ("The jar contains 7 balls.", "7"),
        ("So there are 5 red balls.", "5"),
        ("Only the red ones count, 12 - 7 = 5. There are 5 red balls.", "5"),
        ("**5**", "5"),
    ],
)
def test_a_value_of_the_prompt_is_an_answer_where_it_is_asked_for_or_concluded(
    completion: str, answer: str | None
) -> None:
    found = extract(completion, prompt=PROMPT)
    assert (None if isinstance(found, str) else found.text) == answer


def test_worked_examples_of_the_prompt_are_not_its_question() -> None:
    example, question = "Ann has 5 cats. How many paws?", "Bob has 8 cats. How many ears?"
    examples = f"Question: {example}\nAnswer: 20\n\nQuestion: {question}\nAnswer:"
    chat = f"<|im_start|>user\n{example}<|im_end|>\n<|im_start|>user\n{question}<|im_end|>\n"
    for prompt in (examples, chat):
        assert found_with(prompt, "The number of them is 20 ears. They are 5.", "stated") == "5"
        assert extract("Bob has 8 cats.", prompt=prompt) == "no_answer"
        assert extract("The number of the cats is 8.", prompt=prompt) == "no_answer"


def found_with(prompt: str, completion: str, mode: Extract) -> str:
    extraction = extract(completion, mode, prompt=prompt)
    assert not isinstance(extraction, str), extraction
    return extraction.text


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("She has 8. The answer is 8.\n\nQuestion: A boy has 3.\nAnswer: The answer is 9.", "8"),
        ("She has 3 + 5 = 8 apples.\n\nQ: A boy has 3.\nA: 9", "8"),
        (r"so \boxed{8}\n\n### Problem: what is 3?\n\boxed{9}".replace(r"\n", "\n"), "8"),
        ("Question: how many?\nAnswer: 8", "8"),
        ("Human: The box is \\boxed{3}?\n\nThe box has 2 more.\nAnswer: 8", "8"),
    ],
)
def test_the_first_question_that_is_answered_counts(completion: str, answer: str) -> None:
    assert found(completion)[0] == answer


@pytest.mark.parametrize("text", ["={}x\\boxed{{5}} ", "\\boxed{{5}}{} x", "$ {} \\boxed{{5}}{}\\frac"])
def test_long_numbers_beside_a_box_take_no_time(text: str) -> None:
    """Digits were split in every way, which took hours."""
    assert extract(text.format("9" * 70, "9" * 70), "stated") is not None


@pytest.mark.parametrize(("end", "states"), [("", False), (".", True), ("\n\nNow", True), (" so that", True)])
def test_a_phrase_that_a_cut_text_ends_in_may_go_on(end: str, states: bool) -> None:
    """The 15 of "The answer is 15" may be the beginning of 150."""
    found = extract(f"We add. The answer is 15{end}", finished=False)
    assert (not isinstance(found, str)) == states
