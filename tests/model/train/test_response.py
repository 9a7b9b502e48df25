"""What is trained on and what evaluation asks for, with chat templates as families of models have them.

The templates are shortened: without tools and further turns of their own.
"""

# ruff: noqa: E501, S106  templates; tokens of a vocabulary are no passwords
from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from limo_ablate.core.artifacts import Store
from limo_ablate.core.errors import UserError
from limo_ablate.model.config import TemplateConfig
from limo_ablate.model.generate.completions import GenerationRequest, single_requests
from limo_ablate.model.generate.engine import Sampling
from limo_ablate.model.train.base import base_model
from limo_ablate.model.train.chat import ChatEncoder, turn_end
from limo_ablate.model.train.load import end_of_turn, load_tokenizer
from limo_ablate.model.train.response import Responses
from limo_ablate.model.train.token_rows import read_tokens
from limo_ablate.model.train.tokens import tokenize
from tests.model.train.test_chat import byte_level
from tests.model.train.test_tokens import QWEN2_5_TEMPLATE
from tests.tiny_models import TRAIN, hub_model, made_base, made_selection, sums

QWEN3 = (
    "{%- if messages[0].role == 'system' %}{{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}"
    "{%- endif %}"
    "{%- for message in messages %}"
    "{%- if message.role == 'user' %}{{- '<|im_start|>user\n' + message.content + '<|im_end|>\n' }}"
    "{%- elif message.role == 'assistant' %}"
    "{%- set thought = '' %}{%- set content = message.content %}"
    "{%- if '</think>' in content %}"
    "{%- set thought = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}"
    "{%- set content = content.split('</think>')[-1].lstrip('\n') %}"
    "{%- endif %}"
    "{{- '<|im_start|>assistant\n' }}"
    "{%- if loop.last %}{{- '<think>\n' + thought.strip('\n') + '\n</think>\n\n' }}{%- endif %}"
    "{{- content.lstrip('\n') + '<|im_end|>\n' }}"
    "{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}"
    "{%- endif %}"
)
R1_DISTILL = (
    "{%- set ns = namespace(system='') -%}"
    "{%- for m in messages if m['role'] == 'system' -%}{%- set ns.system = m['content'] -%}{%- endfor -%}"
    "{{ bos_token }}{{ ns.system }}"
    "{%- for m in messages -%}"
    "{%- if m['role'] == 'user' -%}{{ '<｜User｜>' + m['content'] }}{%- endif -%}"
    "{%- if m['role'] == 'assistant' -%}{%- set content = m['content'] -%}"
    "{%- if '</think>' in content -%}{%- set content = content.split('</think>')[-1] -%}{%- endif -%}"
    "{{ '<｜Assistant｜>' + content + '<｜end▁of▁sentence｜>' }}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<｜Assistant｜><think>\n' }}{%- endif -%}"
)
LLAMA_3_2 = (
    "{{- bos_token }}"
    "{%- if not date_string is defined %}"
    "{%- if strftime_now is defined %}{%- set date_string = strftime_now('%d %b %Y') %}"
    "{%- else %}{%- set date_string = '26 Jul 2024' %}{%- endif %}"
    "{%- endif %}"
    "{%- if messages[0]['role'] == 'system' %}"
    "{%- set system = messages[0]['content']|trim %}{%- set messages = messages[1:] %}"
    "{%- else %}{%- set system = '' %}{%- endif %}"
    "{{- '<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n' }}"
    "{{- 'Today Date: ' + date_string + '\n\n' + system + '<|eot_id|>' }}"
    "{%- for m in messages %}"
    "{{- '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] | trim + '<|eot_id|>' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}"
)
GEMMA_2 = (
    "{{ bos_token }}"
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}"
    "{% if m['role'] == 'assistant' %}{% set role = 'model' %}{% else %}{% set role = m['role'] %}{% endif %}"
    "{{ '<start_of_turn>' + role + '\n' + m['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
GPT_OSS = (
    "{%- macro system() -%}"
    "{%- if reasoning_effort is not defined %}{%- set reasoning_effort = 'medium' %}{%- endif %}"
    "{{- 'Current date: ' + strftime_now('%Y-%m-%d') + '\n\nReasoning: ' + reasoning_effort }}{%- endmacro -%}"
    "{{- '<|start|>system<|message|>' + system() + '<|end|>' }}"
    "{%- for m in messages %}"
    "{%- if m.role == 'assistant' %}{{- '<|start|>assistant<|channel|>final<|message|>' + m.content }}"
    "{{- '<|return|>' if loop.last else '<|end|>' }}"
    "{%- else %}{{- '<|start|>' + ('developer' if m.role == 'system' else m.role) + '<|message|>' }}"
    "{{- m.content + '<|end|>' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start|>assistant' }}{%- endif %}"
)
COMMAND = (
    "{{ bos_token }}{%- for m in messages %}"
    "{%- if m.role == 'assistant' %}<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|><|START_RESPONSE|>{{ m.content }}"
    "<|END_RESPONSE|><|END_OF_TURN_TOKEN|>"
    "{%- else %}<|START_OF_TURN_TOKEN|><|{{ m.role|upper }}_TOKEN|>{{ m.content }}<|END_OF_TURN_TOKEN|>"
    "{%- endif %}{%- endfor %}<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>"
)
QWEN2_5 = QWEN2_5_TEMPLATE
CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
FAMILIES: dict[str, tuple[str, tuple[str, ...], str, str]] = {
    "Qwen2.5": (QWEN2_5, CHATML, "", "<|im_end|>"),
    "Qwen3": (QWEN3, CHATML, "", "<|im_end|>"),
    "R1-distill": (
        R1_DISTILL, ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"), "<｜begin▁of▁sentence｜>",
        "<｜end▁of▁sentence｜>",
    ),
    "Llama-3.2": (
        LLAMA_3_2, ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        "<|begin_of_text|>", "<|eot_id|>",
    ),
    "Gemma-2": (GEMMA_2, ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"), "<bos>", "<eos>"),
    "gpt-oss": (
        GPT_OSS, ("<|start|>", "<|message|>", "<|channel|>", "<|end|>", "<|return|>"), "", "<|return|>",
    ),
    "Command": (
        COMMAND,
        ("<BOS_TOKEN>", "<|START_OF_TURN_TOKEN|>", "<|CHATBOT_TOKEN|>", "<|USER_TOKEN|>", "<|START_RESPONSE|>",
         "<|END_RESPONSE|>", "<|END_OF_TURN_TOKEN|>"),
        "<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>",
    ),
}  # fmt: skip
"""Template, special tokens, BOS, EOS."""


def family(name: str) -> PreTrainedTokenizerFast:
    template, special, bos, eos = FAMILIES[name]
    return PreTrainedTokenizerFast(
        tokenizer_object=byte_level(special, ("<think>", "</think>", "<｜User｜>", "<｜Assistant｜>")),
        chat_template=template, eos_token=eos, name_or_path=name, **({"bos_token": bos} if bos else {}),
    )  # fmt: skip


def row(
    name: str,
    solution: str,
    template: TemplateConfig | None = None,
    mode: str = "solution",
    system: str | None = None,
) -> tuple[str, str, list[str]]:
    """Texts of prompt and response as they are trained on, and what is said."""
    tokenizer = family(name)
    responses = Responses(ChatEncoder(tokenizer, template or TemplateConfig()), system, mode)  # type: ignore[arg-type]
    ((prompt, response),) = responses.encode(["1+1?"], [solution])
    return tokenizer.decode(prompt), tokenizer.decode(response), responses.lines()


THOUGHT = "<think>\none and one\n</think>\n\nIt is 2."
USER = "<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n"
LLAMA = (
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
    "Today Date: {}\n\n<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n1+1?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
)
DISTILL = "<｜begin▁of▁sentence｜><｜User｜>1+1?<｜Assistant｜><think>\n"
OSS = (
    "<|start|>system<|message|>Current date: 2024-07-26\n\nReasoning: {}<|end|>"
    "<|start|>user<|message|>1+1?<|end|><|start|>assistant"
)
COMMAND_PROMPT = (
    "<BOS_TOKEN><|START_OF_TURN_TOKEN|><|USER_TOKEN|>1+1?<|END_OF_TURN_TOKEN|>"
    "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>"
)


@pytest.mark.parametrize(
    ("name", "template", "solution", "prompt", "response"),
    [
        (
            "Qwen2.5", {}, "It is 2.",
            "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
            + USER, "It is 2.<|im_end|>",
        ),
        ("Qwen3", {}, THOUGHT, USER, THOUGHT + "<|im_end|>"),
        ("Qwen3", {"enable_thinking": True}, THOUGHT, USER, THOUGHT + "<|im_end|>"),
        (
            "Qwen3", {"enable_thinking": False}, "It is 2.", USER + "<think>\n\n</think>\n\n",
            "It is 2.<|im_end|>",
        ),
        ("Llama-3.2", {}, "It is 2.", LLAMA.format("26 Jul 2024"), "It is 2.<|eot_id|>"),
        ("Llama-3.2", {"date": "2025-01-09"}, "It is 2.", LLAMA.format("09 Jan 2025"), "It is 2.<|eot_id|>"),
        (
            "Gemma-2", {}, "It is 2.",
            "<bos><start_of_turn>user\n1+1?<end_of_turn>\n<start_of_turn>model\n", "It is 2.<end_of_turn>",
        ),
    ],
)  # fmt: skip
def test_a_turn_that_is_prompt_and_solution_is_trained_on_without_a_word(
    name: str, template: dict[str, object], solution: str, prompt: str, response: str
) -> None:
    assert row(name, solution, TemplateConfig(**template)) == (prompt, response, [])  # type: ignore[arg-type]


@pytest.mark.parametrize("solution", [THOUGHT, THOUGHT.removeprefix("<think>\n"), "  " + THOUGHT])
def test_thinking_that_the_prompt_opens_is_opened_once(solution: str) -> None:
    prompt, response, said = row("R1-distill", solution)
    assert (prompt + response).count("<think>") == 1
    assert prompt == DISTILL
    assert response == "one and one\n</think>\n\nIt is 2.<｜end▁of▁sentence｜>"
    once = "1 of 1 row: the solution begins with <think>, with which the prompt ends: it stands once"
    assert (once in said) == ("<think>" in solution)
    assert "1 of 1 row: the chat template drops what stands before </think>, and it is trained on" in said


@pytest.mark.parametrize(
    ("name", "template", "solution", "said"),
    [
        ("R1-distill", {}, "It is 2.", r"the prompt opens <think>, and the solution has no </think>: .* "
                                       r"eval\.thinking=none"),
        ("Qwen3", {}, "It is 2.", r"the chat template has '<think>\\n\\n</think>\\n\\n' before an answer, .*; "
                                  r"choose model\.template\.enable_thinking=false, .*or train\.response=turn"),
        ("Qwen3", {"enable_thinking": False}, THOUGHT, r"the prompt ends with </think>, and the solution opens "
                                                       r"it again; set model\.template\.enable_thinking=true"),
        ("Qwen3", {}, "<think>one and one</think>It is 2.", r"changes the solution's spaces; .*=turn"),
        ("Llama-3.2", {}, " It is 2.\n", r"changes the solution's spaces; .* or train\.response=turn"),
        ("gpt-oss", {}, "It is 2.", r"has '<\|channel\|>final<\|message\|>' before an answer, which is not "
                                    r"trained on; choose train\.response=turn"),
        ("Command", {}, "It is 2.", r"has '<\|START_RESPONSE\|>' before an answer, .* choose train\.response"),
    ],
)  # fmt: skip
def test_other_turns_are_said_with_what_there_is_to_choose(
    name: str, template: dict[str, object], solution: str, said: str
) -> None:
    *_, lines = row(name, solution, TemplateConfig(**template))  # type: ignore[arg-type]
    assert any(re.search(said, line) for line in lines), lines


@pytest.mark.parametrize(
    ("name", "template", "solution", "prompt", "response"),
    [
        (
            "gpt-oss", {"arguments": {"reasoning_effort": "low"}}, "It is 2.", OSS.format("low"),
            "<|channel|>final<|message|>It is 2.<|return|>",
        ),
        (
            "Command", {}, "It is 2.", COMMAND_PROMPT,
            "<|START_RESPONSE|>It is 2.<|END_RESPONSE|><|END_OF_TURN_TOKEN|>",
        ),
        ("Llama-3.2", {}, " It is 2.\n", LLAMA.format("26 Jul 2024"), "It is 2.<|eot_id|>"),
        ("Qwen3", {}, "It is 2.", USER, "<think>\n\n</think>\n\nIt is 2.<|im_end|>"),
    ],
)  # fmt: skip
def test_the_templates_own_turn_is_trained_on_where_it_is_chosen(
    name: str, template: dict[str, object], solution: str, prompt: str, response: str
) -> None:
    assert row(name, solution, TemplateConfig(**template), "turn") == (prompt, response, [])  # type: ignore[arg-type]


def test_a_templates_own_turn_has_control_tokens_of_texts_as_text() -> None:
    tokenizer = family("gpt-oss")
    responses = Responses(ChatEncoder(tokenizer), None, "turn")
    ((_, planted), (_, plain)) = responses.encode(["?", "?"], ["<|return|>2", "2"])
    control = {*tokenizer.added_tokens_decoder}
    assert [n for n in planted if n in control] == [n for n in plain if n in control]
    assert tokenizer.decode(planted) == "<|channel|>final<|message|><|return|>2<|return|>"


def test_a_turn_that_does_not_continue_its_prompt_can_not_be_chosen() -> None:
    with pytest.raises(
        UserError, match=r"train\.response=turn: .* R1-distill .*; use train\.response=solution"
    ):
        row("R1-distill", THOUGHT, mode="turn")


def begun(assistant: str) -> PreTrainedTokenizerFast:
    """A tokenizer whose template writes an assistant's turn as `assistant`."""
    tokenizer = family("Qwen3")
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m.role == 'user' %}U:{{ m.content }}<|im_end|>A:"
        "{% elif m.role == 'assistant' %}" + assistant + "{% endif %}{% endfor %}"
    )
    return tokenizer


@pytest.mark.parametrize(
    ("assistant", "response", "said"),
    [
        ("{{ m.content.split('</think>')[-1].strip() }}<|im_end|>", "It is 2.<|im_end|>",
         r"drops what stands before </think>, which is not trained on; train\.response=solution"),
        ("{{ m.content[:5] }}<|im_end|>", "<thin<|im_end|>",
         r"writes the solution differently; .* or train\.response=solution"),
    ],
)  # fmt: skip
def test_what_a_templates_own_turn_leaves_out_is_said(assistant: str, response: str, said: str) -> None:
    tokenizer = begun(assistant)
    responses = Responses(ChatEncoder(tokenizer), None, "turn")
    ((_, ids),) = responses.encode(["1+1?"], [THOUGHT])
    (line,) = responses.lines()
    assert tokenizer.decode(ids) == response
    assert re.search(f"1 of 1 row: the chat template {said}", line), line


@pytest.mark.parametrize("assistant", ["{{ m.content }}\n\n", "", "{{ m.content[:0] }}"])
def test_a_turn_that_has_no_end_can_not_be_chosen(assistant: str) -> None:
    responses = Responses(ChatEncoder(begun(assistant)), None, "turn")
    with pytest.raises(
        UserError, match=r"=turn: .*left out, or does not end in '<\|im_end\|>'; use train\.resp"
    ):
        list(responses.encode(["1+1?"], ["It is 2."]))


def test_the_end_of_a_turn_goes_up_to_the_end_of_the_text() -> None:
    """Cohere's answers end in two tokens, of which generation stops at the second."""
    tokenizer = family("Command")
    assert turn_end(tokenizer)[0] == "<|END_RESPONSE|><|END_OF_TURN_TOKEN|>"
    assert end_of_turn(tokenizer) == tokenizer.convert_tokens_to_ids("<|END_OF_TURN_TOKEN|>")
    assert turn_end(family("Gemma-2"))[0] == "<end_of_turn>"


def test_arguments_that_a_template_lacks_are_refused() -> None:
    with pytest.raises(
        UserError, match=r"model\.template\.enable_thinking: .* Qwen2\.5 has no such argument"
    ):
        row("Qwen2.5", "2", TemplateConfig(enable_thinking=False))
    with pytest.raises(UserError, match=r"model\.template\.arguments\.effort: .* gpt-oss has no such"):
        row("gpt-oss", "2", TemplateConfig(arguments={"effort": "low"}))
    with pytest.raises(UserError, match=r"model\.template\.arguments: chat_template is set elsewhere"):
        TemplateConfig(arguments={"chat_template": "x"})
    with pytest.raises(UserError, match=r"model\.template\.date=today must be a date"):
        TemplateConfig(date="today")


def test_a_system_prompt_may_be_the_template_s_own() -> None:
    own = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
    encoder = ChatEncoder(family("Qwen2.5"))
    assert encoder.prompts(["1+1?"], own) == encoder.prompts(["1+1?"], None)


def test_a_system_prompt_that_a_template_can_not_have_is_refused() -> None:
    with pytest.raises(UserError, match=r"takes no system prompt \(.*System role not supported\); set train"):
        row("Gemma-2", "2", system="Think.")
    tokenizer = family("Qwen3")
    tokenizer.chat_template = "{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}"
    with pytest.raises(UserError, match=r"takes no system prompt \(it leaves it out\)"):
        ChatEncoder(tokenizer).prompts(["1+1?"], "Think.")


def test_training_and_evaluation_begin_from_the_same_prompt(tmp_path: Path) -> None:
    """And both artifacts follow what the template gets."""
    store, folder = Store(tmp_path / "store"), tmp_path / "model"
    shutil.copytree(made_base(store).path, folder)
    family("Qwen3").save_pretrained(folder)
    base = base_model(store, hub_model(folder), None)
    problems = store.build("benchmark", {}, lambda to: asked(to / "problems.parquet"))
    sampling = Sampling(0.0, 1.0, 8, 0)
    prompts = set()
    for template in (TemplateConfig(), TemplateConfig(enable_thinking=False)):
        ask = GenerationRequest(
            problems=problems, samples=1, sampling=sampling, system_prompt=None, template=template
        )
        (request,) = single_requests(ask, load_tokenizer(folder))
        tokens = tokenize(store, made_selection(store, 1), base, TRAIN, template)
        rows = read_tokens(tokens.path)
        assert rows.row(0)[: rows.prompts[0]].tolist() == request.ids
        said = json.loads((tokens.path / "tokens.json").read_text()).get("notes", [])
        assert bool(said) == (template.enable_thinking is None)
        prompts.add((request.prompt, tokens.key))
    assert len(prompts) == 2


def asked(file: Path) -> None:
    sums(1).select(id="problem", text="text").write_parquet(file)


SPM_BOS = ("<s>", "</s>")


@pytest.mark.parametrize("adds_bos", [True, False])
def test_a_base_model_without_template_begins_with_bos_and_ends_in_no_space(
    tmp_path: Path, adds_bos: bool
) -> None:
    from tokenizers import processors

    backend = byte_level(SPM_BOS)
    number = backend.token_to_id("<s>")
    if adds_bos:
        backend.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A $B", [("<s>", number)])
    PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>"
    ).save_pretrained(tmp_path)  # fmt: skip
    tokenizer = load_tokenizer(tmp_path)
    ((prompt, response),) = Responses(ChatEncoder(tokenizer), "Think.").encode(["1+1?"], ["It is 2."])
    begin = "<s>" if adds_bos else ""
    assert tokenizer.decode(prompt) == f"{begin}Think.\n\nProblem: 1+1?\n\nSolution:\n"
    assert tokenizer.decode(response) == "It is 2.</s>"
    text = tokenizer.decode(prompt + response)
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == prompt + response
    (raw,) = ChatEncoder(tokenizer).raw(["What is"])
    assert (raw.text, tokenizer.decode(raw.ids)) == (begin + "What is", begin + "What is")
